//! Whose grant it is: a pure judgement. A grant that leaked is of no use to a third host.

use holdfast_proto::names::HostName;
use tonic::Status;

/// Which end of a transfer a call says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Sender,
    Receiver,
}

/// The two hosts that a grant was given to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    pub sender: HostName,
    pub receiver: HostName,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrongGrant {
    #[error("the grant that {host} showed is that of no transfer that runs")]
    Unknown { host: HostName },
    #[error(
        "{host} showed the grant of a transfer from {} to {}, in which it is not the {}",
        ends.sender, ends.receiver, word(*end)
    )]
    OfOthers {
        host: HostName,
        end: End,
        ends: Ends,
    },
}

/// # Errors
/// Why the host may not use it as this end.
pub fn judge(ends: Option<Ends>, host: &HostName, end: End) -> Result<(), WrongGrant> {
    let host = host.clone();
    let Some(ends) = ends else {
        return Err(WrongGrant::Unknown { host });
    };
    let given_to = match end {
        End::Sender => &ends.sender,
        End::Receiver => &ends.receiver,
    };
    if *given_to == host {
        Ok(())
    } else {
        Err(WrongGrant::OfOthers { host, end, ends })
    }
}

fn word(end: End) -> &'static str {
    match end {
        End::Sender => "sender",
        End::Receiver => "receiver",
    }
}

impl From<WrongGrant> for Status {
    fn from(wrong: WrongGrant) -> Self {
        Self::permission_denied(wrong.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> HostName {
        name.parse().unwrap()
    }

    fn ends() -> Option<Ends> {
        Some(Ends {
            sender: host("web-1"),
            receiver: host("web-2"),
        })
    }

    #[test]
    fn each_end_may_be_that_end_only() {
        assert_eq!(judge(ends(), &host("web-1"), End::Sender), Ok(()));
        assert_eq!(judge(ends(), &host("web-2"), End::Receiver), Ok(()));
        for (name, end) in [
            ("web-1", End::Receiver),
            ("web-2", End::Sender),
            ("web-3", End::Sender),
            ("web-3", End::Receiver),
        ] {
            let wrong = judge(ends(), &host(name), end).unwrap_err();
            assert!(matches!(wrong, WrongGrant::OfOthers { .. }), "{wrong}");
        }
        assert_eq!(
            judge(ends(), &host("web-3"), End::Sender)
                .unwrap_err()
                .to_string(),
            "web-3 showed the grant of a transfer from web-1 to web-2, in which it is not the sender"
        );
        assert!(judge(None, &host("web-1"), End::Sender).is_err());
    }
}
