//! Generated types and services. Nobody works with them beyond the edge of a process.
//!
//! Messages that carry a secret print only their name: they reach logs through errors of libraries too.
#![allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    missing_docs,
    reason = "generated"
)]

include!("gen/holdfast.v1.rs");

macro_rules! keeps_its_secret {
    ($($name:ident),*) => {
        $(impl ::core::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        })*
    };
}

keeps_its_secret!(
    EnrolRequest,
    EnrolHostResponse,
    InviteOperatorResponse,
    OpenStream,
    SendImage,
    ReceiveImage,
    RelayWait,
    OpenRepositoryResponse,
    DirectAccess,
    ExportRepositoryKeyResponse
);
