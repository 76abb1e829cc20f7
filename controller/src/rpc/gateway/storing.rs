//! One object on its way into a repository: whole, with the hash that it is named by, or not at all.

use std::time::Duration;

use bytes::Bytes;
use holdfast_chassis::tls::PeerInfo;
use holdfast_proto::{
    names::HostName,
    wire::{OpenObject, PutObjectRequest, put_object_request::Message},
};
use holdfast_repository::{BlobsError, Name, ObjectId};
use tonic::{Status, Streaming};

use super::GatewayService;
use crate::{
    repository::access::NotYours,
    rpc::{convert::gateway as convert, status::RpcError},
};

/// A pack ends at 16 MiB and a little; an index of very many pieces is the largest.
const LARGEST: u64 = 64 << 20;
/// How long the next piece may take; the memory is held meanwhile.
const SILENCE: Duration = Duration::from_secs(60);

impl GatewayService {
    pub(super) async fn store(
        &self,
        call: &str,
        (peer, host): (&PeerInfo, &HostName),
        mut inbound: Streaming<PutObjectRequest>,
    ) -> Result<(), Status> {
        let (name, size) = opening(next(&mut inbound).await?)?;
        self.kind(call, (peer, host), name.kind, true)?;
        let house = self.house(host).await?;
        let mebibytes = u32::try_from(size.div_ceil(1 << 20)).unwrap_or(u32::MAX);
        let _room = self.room(mebibytes).await?;
        let content = collect(&mut inbound, size).await?;
        if ObjectId::of(&content) != name.id {
            let host = host.clone();
            return Err(self.refuse(peer, call, NotYours::Forged { host, name }));
        }
        match house.blobs.put_new(name, content).await {
            Ok(()) => Ok(()),
            Err(BlobsError::Exists { .. }) => {
                let host = host.clone();
                Err(self.refuse(peer, call, NotYours::Overwrite { host, name }))
            }
            Err(error) => Err(RpcError::from(error).into()),
        }
    }
}

fn opening(message: Option<Message>) -> Result<(Name, u64), Status> {
    let Some(Message::Open(OpenObject { name, size })) = message else {
        return Err(Status::invalid_argument("an object begins with its name"));
    };
    if size > LARGEST {
        return Err(Status::invalid_argument(format!(
            "an object of {size} bytes is too large: {LARGEST} at most"
        )));
    }
    Ok((convert::name(name)?, size))
}

async fn collect(
    inbound: &mut Streaming<PutObjectRequest>,
    size: u64,
) -> Result<Vec<Bytes>, Status> {
    let mut content = Vec::new();
    let mut held = 0;
    while let Some(message) = next(inbound).await? {
        let Message::Data(data) = message else {
            return Err(Status::invalid_argument("an object has one name"));
        };
        held += data.len() as u64;
        if held > size {
            return Err(Status::invalid_argument(format!(
                "more than the {size} bytes came that were said"
            )));
        }
        content.push(data);
    }
    if held < size {
        return Err(Status::unavailable(format!(
            "the write was interrupted: {held} of {size} bytes came"
        )));
    }
    Ok(content)
}

async fn next(inbound: &mut Streaming<PutObjectRequest>) -> Result<Option<Message>, Status> {
    match tokio::time::timeout(SILENCE, inbound.message()).await {
        Ok(message) => Ok(message?.and_then(|request| request.message)),
        Err(_) => Err(Status::deadline_exceeded(format!(
            "no piece of the object within {} s",
            SILENCE.as_secs()
        ))),
    }
}
