//! Names of objects, for the wire.

use holdfast_proto::wire::{ObjectKind, ObjectName};
use holdfast_repository::{Kind, Name};

pub fn kind(kind: Kind) -> ObjectKind {
    match kind {
        Kind::Config => ObjectKind::Config,
        Kind::Key => ObjectKind::Key,
        Kind::Snapshot => ObjectKind::Snapshot,
        Kind::Index => ObjectKind::Index,
        Kind::Pack => ObjectKind::Pack,
    }
}

pub fn name(name: Name) -> ObjectName {
    let id = match name.kind {
        Kind::Config => Vec::new(),
        Kind::Key | Kind::Snapshot | Kind::Index | Kind::Pack => name.id.as_bytes().to_vec(),
    };
    ObjectName {
        kind: kind(name.kind).into(),
        id,
    }
}
