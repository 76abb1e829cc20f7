//! Who is at the other end of a request.

use std::net::SocketAddr;

use tonic::{Request, Status};

use crate::identity::{Certificate, Identity, Role};

/// Put into the extensions of every request by the connection that it came through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// `None` when no client certificate was shown; only enrolment serves such a caller.
    pub identity: Option<Identity>,
    /// Of the client certificate.
    pub serial: Option<String>,
    pub address: SocketAddr,
}

/// Why somebody whose certificate is good is still not the one to ask for this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrongPeer {
    #[error(
        "this call needs a client certificate, and none was shown: \
         log in with `ctl login` (an operator) or enrol with `holdfast-agent join` (a host)"
    )]
    Nobody,
    #[error(
        "{0} is not an operator: a certificate of a host or controller cannot be used for \
         operators' calls; log in with `ctl login`"
    )]
    NotAnOperator(Identity),
    #[error(
        "{0} is not a host: only the certificate of an enrolled agent can be used for agents' calls"
    )]
    NotAHost(Identity),
    #[error(
        "the certificate is that of {actual}, not of host/{claimed}: \
         a host speaks for itself alone"
    )]
    AnotherHost { actual: Identity, claimed: String },
    #[error("{name} has the role {actual}, and this needs the role {needed}: ask an admin")]
    Role {
        name: String,
        actual: Role,
        needed: Role,
    },
}

impl PeerInfo {
    #[must_use]
    pub(super) fn new(address: SocketAddr, certificate: Option<Certificate>) -> Self {
        let (identity, serial) = match certificate {
            Some(certificate) => (Some(certificate.identity), Some(certificate.serial)),
            None => (None, None),
        };
        Self {
            identity,
            serial,
            address,
        }
    }

    /// As the audit log names it: the identity, or the address before one is known.
    #[must_use]
    pub fn actor(&self) -> String {
        match &self.identity {
            Some(identity) => identity.to_string(),
            None => self.address.to_string(),
        }
    }

    /// The name of the host that calls.
    ///
    /// # Errors
    /// When it is not a host.
    pub fn host(&self) -> Result<&str, WrongPeer> {
        match &self.identity {
            Some(Identity::Host(name)) => Ok(name),
            Some(other) => Err(WrongPeer::NotAHost(other.clone())),
            None => Err(WrongPeer::Nobody),
        }
    }

    /// Refuses a host that claims another's name.
    ///
    /// # Errors
    /// When it is not the host `claimed`.
    pub fn host_named(&self, claimed: &str) -> Result<(), WrongPeer> {
        if self.host()? == claimed {
            return Ok(());
        }
        Err(WrongPeer::AnotherHost {
            actual: Identity::Host(self.host()?.to_owned()),
            claimed: claimed.to_owned(),
        })
    }

    /// Name and role of the operator who calls, who must have at least the role `needed`.
    ///
    /// # Errors
    /// When it is not an operator, or one with a lesser role.
    pub fn operator(&self, needed: Role) -> Result<(&str, Role), WrongPeer> {
        match &self.identity {
            Some(Identity::Operator { name, role }) if *role >= needed => Ok((name, *role)),
            Some(Identity::Operator { name, role }) => Err(WrongPeer::Role {
                name: name.clone(),
                actual: *role,
                needed,
            }),
            Some(other) => Err(WrongPeer::NotAnOperator(other.clone())),
            None => Err(WrongPeer::Nobody),
        }
    }

    /// The peer of a request, from its extensions.
    ///
    /// # Errors
    /// `Internal` when the request did not come through [`super::serve_incoming`].
    pub fn of<T>(request: &Request<T>) -> Result<&Self, Status> {
        request
            .extensions()
            .get::<Self>()
            .ok_or_else(|| Status::internal("the connection does not say who is at its other end"))
    }
}

impl From<WrongPeer> for Status {
    fn from(wrong: WrongPeer) -> Self {
        let text = wrong.to_string();
        match wrong {
            WrongPeer::Nobody => Self::unauthenticated(text),
            WrongPeer::NotAnOperator(_)
            | WrongPeer::NotAHost(_)
            | WrongPeer::AnotherHost { .. }
            | WrongPeer::Role { .. } => Self::permission_denied(text),
        }
    }
}

/// An interceptor for every service but enrolment: no certificate, no answer.
///
/// # Errors
/// `Unauthenticated` when the caller showed no certificate.
pub fn require_identity(request: Request<()>) -> Result<Request<()>, Status> {
    if PeerInfo::of(&request)?.identity.is_none() {
        return Err(WrongPeer::Nobody.into());
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(identity: Option<Identity>) -> PeerInfo {
        PeerInfo {
            identity,
            serial: None,
            address: "10.0.0.7:51234".parse().unwrap(),
        }
    }

    fn operator(role: Role) -> PeerInfo {
        peer(Some(Identity::Operator {
            name: "alice".into(),
            role,
        }))
    }

    #[test]
    fn an_agent_is_no_operator() {
        let agent = peer(Some(Identity::Host("web-1".into())));
        let error = agent.operator(Role::Viewer).unwrap_err().to_string();
        assert!(
            error.starts_with("host/web-1 is not an operator"),
            "{error}"
        );
        assert_eq!(agent.host(), Ok("web-1"));
    }

    #[test]
    fn an_operator_is_no_agent() {
        let error = operator(Role::Admin).host().unwrap_err().to_string();
        assert!(error.starts_with("operator/alice is not a host"), "{error}");
    }

    #[test]
    fn a_host_speaks_for_itself() {
        let agent = peer(Some(Identity::Host("web-1".into())));
        assert_eq!(agent.host_named("web-1"), Ok(()));
        let error = agent.host_named("web-2").unwrap_err().to_string();
        assert!(
            error.contains("of host/web-1, not of host/web-2"),
            "{error}"
        );
    }

    #[test]
    fn roles_contain_the_lesser_ones() {
        assert!(operator(Role::Admin).operator(Role::Viewer).is_ok());
        assert!(operator(Role::Operator).operator(Role::Operator).is_ok());
        let error = operator(Role::Viewer).operator(Role::Admin).unwrap_err();
        assert_eq!(
            error.to_string(),
            "alice has the role viewer, and this needs the role admin: ask an admin"
        );
    }

    #[test]
    fn nobody_is_told_how_to_become_somebody() {
        let mut request = Request::new(());
        request.extensions_mut().insert(peer(None));
        let status = require_identity(request).unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unauthenticated);
        assert_eq!(peer(None).actor(), "10.0.0.7:51234");
    }
}
