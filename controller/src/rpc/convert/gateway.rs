//! Objects of repositories, from the wire; what a host is handed out, for it.

use holdfast_proto::wire;
use holdfast_repository::{Kind, Name, ObjectId, storage::Bucket};

use crate::{repository::access::Asked, rpc::status::RpcError};

/// # Errors
/// No repository is named, or by a text that is no host.
pub fn asked(repository: Option<wire::RepositoryRef>) -> Result<Asked, RpcError> {
    let wire::RepositoryRef { host, job } =
        repository.ok_or_else(|| RpcError::invalid("no repository is named"))?;
    Ok(Asked {
        repository: host.parse()?,
        job,
    })
}

/// # Errors
/// A kind that this version does not know.
pub fn kind(kind: i32) -> Result<Kind, RpcError> {
    match wire::ObjectKind::try_from(kind) {
        Ok(wire::ObjectKind::Config) => Ok(Kind::Config),
        Ok(wire::ObjectKind::Key) => Ok(Kind::Key),
        Ok(wire::ObjectKind::Snapshot) => Ok(Kind::Snapshot),
        Ok(wire::ObjectKind::Index) => Ok(Kind::Index),
        Ok(wire::ObjectKind::Pack) => Ok(Kind::Pack),
        Ok(wire::ObjectKind::Unspecified) | Err(_) => {
            Err(RpcError::invalid(format!("{kind} is no kind of an object")))
        }
    }
}

/// # Errors
/// An unknown kind, or an id that is no SHA-256.
pub fn name(name: Option<wire::ObjectName>) -> Result<Name, RpcError> {
    let wire::ObjectName { kind: of, id } =
        name.ok_or_else(|| RpcError::invalid("no object is named"))?;
    let of = kind(of)?;
    if of == Kind::Config {
        return Ok(Name::CONFIG);
    }
    let id: [u8; 32] = id
        .try_into()
        .map_err(|_| RpcError::invalid("the id of an object is its SHA-256: 32 bytes"))?;
    Ok(Name::new(of, ObjectId::new(id)))
}

pub fn access(bucket: Bucket) -> wire::DirectAccess {
    let Bucket {
        url,
        options,
        authority,
    } = bucket;
    wire::DirectAccess {
        url,
        options: options.into_iter().collect(),
        authority: authority.unwrap_or_default(),
    }
}
