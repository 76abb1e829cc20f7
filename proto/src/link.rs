//! What agent and controller say to each other in a session.

use std::{fmt, str::FromStr, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    check::{CheckOutcome, ScheduledCheck},
    fleet::{Engine, HostDelta, HostSnapshot},
    guard::{GuardRefusal, Protection},
    task::{TaskEvent, TaskSpec},
};

/// Agent to controller.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentMessage {
    Hello(Hello),
    Snapshot(HostSnapshot),
    Delta(HostDelta),
    Heartbeat {
        sequence: u64,
        at: DateTime<Utc>,
        rss_bytes: u64,
    },
    Task {
        task_id: String,
        epoch: u64,
        event: TaskEvent,
    },
    Check {
        check_id: u64,
        outcome: CheckOutcome,
    },
    Refused(PeerRefused),
    /// Oldest first.
    GuardRefused(Vec<GuardRefusal>),
}

/// Controller to agent.
#[derive(Debug, Clone, PartialEq)]
pub enum ControllerMessage {
    Welcome {
        heartbeat_interval: Duration,
        controller_version: String,
        now: DateTime<Utc>,
    },
    StartTask(StartTask),
    CancelTask {
        task_id: String,
        epoch: u64,
    },
    ForgetTask {
        task_id: String,
    },
    Checks(Vec<ScheduledCheck>),
    Registered(Vec<RegisteredInstance>),
    Protections(Vec<Protection>),
    RefusalsStored {
        until: DateTime<Utc>,
    },
    HeartbeatAck {
        sequence: u64,
    },
}

/// Somebody was refused at an agent's own port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRefused {
    pub actor: String,
    pub what: String,
    pub reason: String,
    pub times: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct StartTask {
    pub task_id: String,
    pub job: u64,
    pub epoch: u64,
    pub spec: TaskSpec,
    /// W3C trace context; empty when the job has none.
    pub traceparent: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub host: String,
    pub agent_version: String,
    pub run_id: String,
    pub started_at: DateTime<Utc>,
    pub peer_addresses: Vec<String>,
    pub operating_system: String,
    pub kernel: String,
    pub cpus: u32,
    pub memory_bytes: u64,
    pub tasks: Vec<TaskState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskState {
    pub task_id: String,
    pub epoch: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    Disable,
    #[default]
    Prefer,
    Require,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not one of disable, prefer, require")]
pub struct BadTlsMode(String);

impl FromStr for TlsMode {
    type Err = BadTlsMode;

    fn from_str(text: &str) -> Result<Self, BadTlsMode> {
        match text {
            "disable" => Ok(Self::Disable),
            "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            _ => Err(BadTlsMode(text.to_owned())),
        }
    }
}

impl fmt::Display for TlsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredInstance {
    pub name: String,
    pub engine: Engine,
    pub address: String,
    pub port: u16,
    pub user: String,
    pub database: String,
    pub tls_mode: TlsMode,
}
