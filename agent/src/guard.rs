//! The guard: a Docker authorization plugin that refuses what would destroy a database of this host.
//!
//! A process of its own, so that an agent that dies, hangs or is upgraded takes nothing with it. The agent tells it what
//! it knows through a file ([`keep`], [`facts`]); [`decide`] is pure; [`supervise`], [`serve`] and [`gate`] answer.

pub mod ask;
pub mod claims;
pub mod cmd;
pub mod create;
pub mod daemon_json;
pub mod decide;
pub mod dockerd;
pub mod facts;
pub mod gate;
pub mod gather;
pub mod install;
pub mod journal;
pub mod json;
pub mod keep;
pub mod paths;
pub mod place;
pub mod plugin;
pub mod probe;
pub mod protection;
pub mod refusal;
pub mod request;
pub mod serve;
pub mod status;
pub mod supervise;
pub mod target;
pub mod token;
pub mod units;
pub mod untold;
