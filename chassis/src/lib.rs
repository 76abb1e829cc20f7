//! What every process of Holdfast needs, and nothing else: a closed list.

pub mod clock;
pub mod identity;
pub mod retry;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod units;
