//! Names of objects, for the wire; the bucket that is handed out, from it.

use holdfast_proto::wire::{DirectAccess, ObjectKind, ObjectName};
use holdfast_repository::{Kind, Name, storage::Bucket};

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

pub fn bucket(access: DirectAccess) -> Bucket {
    let DirectAccess {
        url,
        options,
        authority,
    } = access;
    Bucket {
        url,
        options: options.into_iter().collect(),
        authority: (!authority.is_empty()).then_some(authority),
    }
}
