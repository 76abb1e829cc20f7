//! What travels in a session, from and to the wire.

use super::{Fault, Field, WireError, messages, read};
use crate::{
    link::{
        AgentMessage, ControllerMessage, Hello, PeerRefused, RegisteredInstance, StartTask,
        TaskState, TlsMode,
    },
    task::TaskEvent,
    wire,
};

messages! {
    StartTask { task_id, job, epoch, spec, traceparent }
    Hello {
        host, agent_version, run_id, started_at, peer_addresses, operating_system, kernel, cpus,
        memory_bytes, tasks,
    }
    TaskState { task_id, epoch }
    PeerRefused { actor, what, reason, times }
    RegisteredInstance { name, engine, address, port, user, database, tls_mode }
}

impl Field<String> for TlsMode {
    fn read(wire: String) -> Result<Self, Fault> {
        wire.parse()
            .map_err(|error: crate::link::BadTlsMode| Fault::Invalid(error.to_string()))
    }

    fn write(self) -> String {
        self.to_string()
    }
}

impl TryFrom<wire::SessionRequest> for AgentMessage {
    type Error = WireError;

    fn try_from(request: wire::SessionRequest) -> Result<Self, WireError> {
        use wire::session_request::Message;

        let wire::SessionRequest { message } = request;
        let message = message.ok_or(WireError::Missing {
            message: "SessionRequest",
            field: "message",
        })?;
        match message {
            Message::Hello(hello) => hello.try_into().map(Self::Hello),
            Message::Snapshot(snapshot) => snapshot.try_into().map(Self::Snapshot),
            Message::Delta(delta) => delta.try_into().map(Self::Delta),
            Message::Heartbeat(heartbeat) => heartbeat.try_into(),
            Message::Task(event) => event.try_into(),
            Message::Check(report) => report.try_into(),
            Message::Refused(refused) => refused.try_into().map(Self::Refused),
            Message::GuardRefused(wire::GuardRefused { refusals }) => {
                read("GuardRefused", "refusals", refusals).map(Self::GuardRefused)
            }
        }
    }
}

impl From<AgentMessage> for wire::SessionRequest {
    fn from(value: AgentMessage) -> Self {
        use wire::session_request::Message;

        Self {
            message: Some(match value {
                AgentMessage::Hello(hello) => Message::Hello(hello.into()),
                AgentMessage::Snapshot(snapshot) => Message::Snapshot(snapshot.into()),
                AgentMessage::Delta(delta) => Message::Delta(delta.into()),
                AgentMessage::Heartbeat {
                    sequence,
                    at,
                    rss_bytes,
                } => Message::Heartbeat(wire::Heartbeat {
                    sequence,
                    at: at.write(),
                    rss_bytes,
                }),
                AgentMessage::Task {
                    task_id,
                    epoch,
                    event,
                } => Message::Task(wire::TaskEvent {
                    task_id,
                    epoch,
                    event: Some(event.into()),
                }),
                AgentMessage::Check { check_id, outcome } => Message::Check(wire::CheckReport {
                    check_id,
                    outcome: outcome.write(),
                }),
                AgentMessage::Refused(refused) => Message::Refused(refused.into()),
                AgentMessage::GuardRefused(refusals) => Message::GuardRefused(wire::GuardRefused {
                    refusals: refusals.write(),
                }),
            }),
        }
    }
}

impl TryFrom<wire::Heartbeat> for AgentMessage {
    type Error = WireError;

    fn try_from(message: wire::Heartbeat) -> Result<Self, WireError> {
        let wire::Heartbeat {
            sequence,
            at,
            rss_bytes,
        } = message;
        Ok(Self::Heartbeat {
            sequence,
            at: read("Heartbeat", "at", at)?,
            rss_bytes,
        })
    }
}

impl TryFrom<wire::CheckReport> for AgentMessage {
    type Error = WireError;

    fn try_from(message: wire::CheckReport) -> Result<Self, WireError> {
        let wire::CheckReport { check_id, outcome } = message;
        Ok(Self::Check {
            check_id,
            outcome: read("CheckReport", "outcome", outcome)?,
        })
    }
}

impl TryFrom<wire::TaskEvent> for AgentMessage {
    type Error = WireError;

    fn try_from(message: wire::TaskEvent) -> Result<Self, WireError> {
        let wire::TaskEvent {
            task_id,
            epoch,
            event,
        } = message;
        let event = event.ok_or(WireError::Missing {
            message: "TaskEvent",
            field: "event",
        })?;
        Ok(Self::Task {
            task_id,
            epoch,
            event: event.try_into()?,
        })
    }
}

impl TryFrom<wire::task_event::Event> for TaskEvent {
    type Error = WireError;

    fn try_from(event: wire::task_event::Event) -> Result<Self, WireError> {
        use wire::task_event::Event;

        Ok(match event {
            Event::Accepted(wire::TaskAccepted { joined }) => Self::Accepted { joined },
            Event::Progress(progress) => Self::Progress(progress.try_into()?),
            Event::Done(result) => Self::Ended(Ok(result.try_into()?)),
            Event::Failed(failure) => Self::Ended(Err(failure.try_into()?)),
        })
    }
}

impl From<TaskEvent> for wire::task_event::Event {
    fn from(value: TaskEvent) -> Self {
        match value {
            TaskEvent::Accepted { joined } => Self::Accepted(wire::TaskAccepted { joined }),
            TaskEvent::Progress(progress) => Self::Progress(progress.into()),
            TaskEvent::Ended(Ok(result)) => Self::Done(result.into()),
            TaskEvent::Ended(Err(failure)) => Self::Failed(failure.into()),
        }
    }
}

impl TryFrom<wire::SessionResponse> for ControllerMessage {
    type Error = WireError;

    fn try_from(response: wire::SessionResponse) -> Result<Self, WireError> {
        use wire::session_response::Message;

        let wire::SessionResponse { message } = response;
        let message = message.ok_or(WireError::Missing {
            message: "SessionResponse",
            field: "message",
        })?;
        match message {
            Message::Welcome(welcome) => welcome.try_into(),
            Message::StartTask(start) => start.try_into().map(Self::StartTask),
            Message::CancelTask(wire::CancelTask { task_id, epoch }) => {
                Ok(Self::CancelTask { task_id, epoch })
            }
            Message::Checks(wire::CheckSchedule { checks }) => {
                read("CheckSchedule", "checks", checks).map(Self::Checks)
            }
            Message::Registered(wire::RegisteredInstances { instances }) => {
                read("RegisteredInstances", "instances", instances).map(Self::Registered)
            }
            Message::Protections(wire::Protections { protections }) => {
                read("Protections", "protections", protections).map(Self::Protections)
            }
            Message::RefusalsStored(wire::RefusalsStored { until }) => {
                let until = read("RefusalsStored", "until", until)?;
                Ok(Self::RefusalsStored { until })
            }
            Message::Heartbeat(wire::HeartbeatAck { sequence }) => {
                Ok(Self::HeartbeatAck { sequence })
            }
            Message::ForgetTask(wire::ForgetTask { task_id }) => Ok(Self::ForgetTask { task_id }),
        }
    }
}

impl From<ControllerMessage> for wire::SessionResponse {
    fn from(value: ControllerMessage) -> Self {
        use wire::session_response::Message;

        Self {
            message: Some(match value {
                ControllerMessage::Welcome {
                    heartbeat_interval,
                    controller_version,
                    now,
                } => Message::Welcome(wire::Welcome {
                    heartbeat_interval: heartbeat_interval.write(),
                    controller_version,
                    now: now.write(),
                }),
                ControllerMessage::StartTask(start) => Message::StartTask(start.into()),
                ControllerMessage::CancelTask { task_id, epoch } => {
                    Message::CancelTask(wire::CancelTask { task_id, epoch })
                }
                ControllerMessage::ForgetTask { task_id } => {
                    Message::ForgetTask(wire::ForgetTask { task_id })
                }
                ControllerMessage::Checks(checks) => Message::Checks(wire::CheckSchedule {
                    checks: checks.write(),
                }),
                ControllerMessage::Registered(instances) => {
                    Message::Registered(wire::RegisteredInstances {
                        instances: instances.write(),
                    })
                }
                ControllerMessage::Protections(protections) => {
                    Message::Protections(wire::Protections {
                        protections: protections.write(),
                    })
                }
                ControllerMessage::RefusalsStored { until } => {
                    Message::RefusalsStored(wire::RefusalsStored {
                        until: until.write(),
                    })
                }
                ControllerMessage::HeartbeatAck { sequence } => {
                    Message::Heartbeat(wire::HeartbeatAck { sequence })
                }
            }),
        }
    }
}

impl TryFrom<wire::Welcome> for ControllerMessage {
    type Error = WireError;

    fn try_from(message: wire::Welcome) -> Result<Self, WireError> {
        let wire::Welcome {
            heartbeat_interval,
            controller_version,
            now,
        } = message;
        Ok(Self::Welcome {
            heartbeat_interval: read("Welcome", "heartbeat_interval", heartbeat_interval)?,
            controller_version,
            now: read("Welcome", "now", now)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::sample::{Sample, Source, round_trip};

    impl Sample for TlsMode {
        fn sample(source: &mut Source) -> Self {
            source.one_of(&[Self::Disable, Self::Prefer, Self::Require])
        }
    }

    impl Sample for TaskEvent {
        fn sample(source: &mut Source) -> Self {
            match source.below(4) {
                0 => Self::Accepted {
                    joined: Sample::sample(source),
                },
                1 => Self::Progress(Sample::sample(source)),
                2 => Self::Ended(Ok(Sample::sample(source))),
                _ => Self::Ended(Err(Sample::sample(source))),
            }
        }
    }

    impl Sample for AgentMessage {
        fn sample(source: &mut Source) -> Self {
            match source.below(8) {
                0 => Self::Hello(Sample::sample(source)),
                1 => Self::Snapshot(Sample::sample(source)),
                2 => Self::Delta(Sample::sample(source)),
                3 => Self::Heartbeat {
                    sequence: Sample::sample(source),
                    at: Sample::sample(source),
                    rss_bytes: Sample::sample(source),
                },
                4 => Self::Task {
                    task_id: Sample::sample(source),
                    epoch: Sample::sample(source),
                    event: Sample::sample(source),
                },
                5 => Self::Check {
                    check_id: Sample::sample(source),
                    outcome: Sample::sample(source),
                },
                6 => Self::GuardRefused(Sample::sample(source)),
                _ => Self::Refused(Sample::sample(source)),
            }
        }
    }

    impl Sample for ControllerMessage {
        fn sample(source: &mut Source) -> Self {
            match source.below(9) {
                0 => Self::Welcome {
                    heartbeat_interval: Sample::sample(source),
                    controller_version: Sample::sample(source),
                    now: Sample::sample(source),
                },
                1 => Self::StartTask(Sample::sample(source)),
                2 => Self::CancelTask {
                    task_id: Sample::sample(source),
                    epoch: Sample::sample(source),
                },
                3 => Self::ForgetTask {
                    task_id: Sample::sample(source),
                },
                4 => Self::Checks(Sample::sample(source)),
                5 => Self::Registered(Sample::sample(source)),
                6 => Self::Protections(Sample::sample(source)),
                7 => Self::RefusalsStored {
                    until: Sample::sample(source),
                },
                _ => Self::HeartbeatAck {
                    sequence: Sample::sample(source),
                },
            }
        }
    }

    round_trip!(agent_message, AgentMessage, wire::SessionRequest);
    round_trip!(controller_message, ControllerMessage, wire::SessionResponse);

    fn missing(message: &'static str, field: &'static str) -> WireError {
        WireError::Missing { message, field }
    }

    #[test]
    fn an_empty_message_is_refused() {
        assert_eq!(
            AgentMessage::try_from(wire::SessionRequest::default()),
            Err(missing("SessionRequest", "message"))
        );
        assert_eq!(
            ControllerMessage::try_from(wire::SessionResponse::default()),
            Err(missing("SessionResponse", "message"))
        );
        assert_eq!(
            AgentMessage::try_from(wire::TaskEvent::default()),
            Err(missing("TaskEvent", "event"))
        );
        assert_eq!(
            ControllerMessage::try_from(wire::Welcome::default()),
            Err(missing("Welcome", "heartbeat_interval"))
        );
        assert_eq!(
            AgentMessage::try_from(wire::CheckReport::default()),
            Err(missing("CheckReport", "outcome"))
        );
    }

    /// What an agent answers "upgrade me" to: the id is there, the verb is not.
    #[test]
    fn a_verb_that_nobody_knows_yet_arrives_as_none() {
        let mut bytes = Vec::new();
        prost::encoding::string::encode(4000, &"x".to_owned(), &mut bytes);
        let spec = <wire::TaskSpec as prost::Message>::decode(bytes.as_slice()).unwrap();
        assert_eq!(spec.verb, None);
        let start = wire::StartTask {
            spec: Some(spec),
            ..wire::StartTask::default()
        };
        let refused = StartTask::try_from(start).unwrap_err();
        assert_eq!(refused, missing("TaskSpec", "verb"));
    }

    #[test]
    fn a_registered_instance_is_checked_field_by_field() {
        let good = wire::RegisteredInstance {
            name: "billing".to_owned(),
            engine: wire::Engine::Postgres.into(),
            address: "db.example.org".to_owned(),
            port: 5432,
            user: "postgres".to_owned(),
            database: "postgres".to_owned(),
            tls_mode: "require".to_owned(),
        };
        assert!(RegisteredInstance::try_from(good.clone()).is_ok());

        let spoiled = [
            (
                "engine",
                wire::RegisteredInstance {
                    engine: 0,
                    ..good.clone()
                },
            ),
            (
                "port",
                wire::RegisteredInstance {
                    port: 70_000,
                    ..good.clone()
                },
            ),
            (
                "tls_mode",
                wire::RegisteredInstance {
                    tls_mode: "maybe".to_owned(),
                    ..good
                },
            ),
        ];
        for (wrong, instance) in spoiled {
            match RegisteredInstance::try_from(instance) {
                Err(WireError::Invalid {
                    message: "RegisteredInstance",
                    field,
                    ..
                }) => {
                    assert_eq!(field, wrong);
                }
                other => panic!("{wrong}: {other:?}"),
            }
        }
    }

    proptest::proptest! {
        /// Whatever arrives is taken or refused; nothing panics.
        #[test]
        fn damaged_messages_are_taken_or_refused(
            message in crate::convert::sample::any::<AgentMessage>(),
            place: usize,
            value: u8,
        ) {
            let mut bytes = prost::Message::encode_to_vec(&wire::SessionRequest::from(message));
            if !bytes.is_empty() {
                let place = place % bytes.len();
                bytes[place] = value;
            }
            if let Ok(request) = <wire::SessionRequest as prost::Message>::decode(bytes.as_slice())
                && let Ok(message) = AgentMessage::try_from(request)
            {
                // What was taken can be sent on.
                let again = wire::SessionRequest::from(message.clone());
                proptest::prop_assert_eq!(AgentMessage::try_from(again), Ok(message));
            }
        }
    }
}
