//! `ctl`: the operator's tool. A command asks the controller ([`client`]), what it hears becomes a
//! [`view`], and a view is drawn by pure functions ([`output`]).

pub mod args;
pub mod client;
pub mod cmd;
pub mod complete;
pub mod compose;
pub mod confirm;
pub mod connect;
pub mod context;
pub mod exit;
pub mod failure;
pub mod follow;
pub mod nearest;
pub mod output;
pub mod series;
pub mod session;
pub mod suggest;
pub mod trace;
pub mod view;
