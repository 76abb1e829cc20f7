//! Who a process is: the name in its certificate.
//!
//! Every certificate of the authority carries exactly one URI name, `holdfast://host/web-1`,
//! `holdfast://operator/alice?role=admin` or `holdfast://controller/main`.

/// Read from the peer's certificate by the TLS acceptor and put into each request's extensions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    Host(String),
    Operator { name: String, role: Role },
    Controller,
}

/// What an operator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Viewer,
    Operator,
    Admin,
}
