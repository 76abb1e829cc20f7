//! The gateway: agents reach the repositories through the controller, each its own, and only to add.

mod storing;

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use holdfast_chassis::tls::PeerInfo;
use holdfast_proto::{
    names::HostName,
    wire::{
        GetObjectRequest, GetObjectResponse, ListObjectsRequest, ListObjectsResponse, ListedObject,
        ObjectRange, OpenRepositoryRequest, OpenRepositoryResponse, PutObjectRequest,
        PutObjectResponse, RepositoryRef,
        gateway_server::{Gateway, GatewayServer},
    },
};
use holdfast_repository::{BlobsError, Kind, storage::Bucket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{convert::gateway as convert, status::RpcError, stopping};
use crate::{
    identity::Registrar,
    repository::{
        House, Repositories,
        access::{Asked, NotYours, Readers, judge_kind, judge_read},
    },
};

/// Of one message on the wire.
const PIECE: usize = 1 << 20;
/// Objects in one message of a list.
const PAGE: usize = 1000;
/// MiB of objects that are held in memory for all agents together; more wait.
const HELD: u32 = 256;
/// MiB that reading takes when nobody has said how much: a pack and its frame.
const PACK: u32 = 17;

type Answer<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What the service works with.
#[derive(Debug, Clone)]
pub struct GatewayService {
    registrar: Registrar,
    repositories: Repositories,
    readers: Arc<dyn Readers>,
    memory: Arc<Semaphore>,
    stop: CancellationToken,
}

impl GatewayService {
    #[must_use]
    pub fn new(
        registrar: Registrar,
        repositories: Repositories,
        readers: Arc<dyn Readers>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            registrar,
            repositories,
            readers,
            memory: Arc::new(Semaphore::new(HELD as usize)),
            stop,
        }
    }

    /// As tonic serves it.
    #[must_use]
    pub fn into_server(self) -> GatewayServer<Self> {
        GatewayServer::new(self).max_decoding_message_size(2 * PIECE)
    }

    /// The host that calls, as its certificate says.
    fn caller<T>(&self, call: &str, request: &Request<T>) -> Result<(PeerInfo, HostName), Status> {
        let peer = PeerInfo::of(request)?.clone();
        let name = match peer.host() {
            Ok(name) => name.to_owned(),
            Err(wrong) => return Err(self.registrar.refuse(&peer, call, wrong)),
        };
        Ok((peer, name.parse().map_err(RpcError::from)?))
    }

    /// The repository, if the host may read it.
    async fn readable(
        &self,
        call: &str,
        (peer, host): (&PeerInfo, &HostName),
        repository: Option<RepositoryRef>,
    ) -> Result<Asked, Status> {
        let asked = convert::asked(repository)?;
        let let_in = asked.repository != *host
            && asked.job != 0
            && self
                .readers
                .may_read(host, &asked.repository, asked.job)
                .await
                .map_err(RpcError::from)?;
        judge_read(host, &asked, let_in).map_err(|wrong| self.refuse(peer, call, wrong))?;
        Ok(asked)
    }

    fn kind(
        &self,
        call: &str,
        (peer, host): (&PeerInfo, &HostName),
        kind: Kind,
        write: bool,
    ) -> Result<(), Status> {
        judge_kind(host, kind, write).map_err(|wrong| self.refuse(peer, call, wrong))
    }

    /// With its line in the audit log.
    fn refuse(&self, peer: &PeerInfo, call: &str, wrong: NotYours) -> Status {
        self.registrar.refuse(peer, call, wrong)
    }

    async fn house(&self, host: &HostName) -> Result<House, Status> {
        Ok(self
            .repositories
            .house(host)
            .await
            .map_err(RpcError::from)?)
    }

    /// The host's own, made if there is none, and what it is handed out to reach it by itself.
    async fn own(&self, host: HostName) -> Result<(House, Option<Bucket>), Status> {
        let (repositories, of) = (self.repositories.clone(), host.clone());
        // A caller that goes away does not leave half a repository: it is made to its end.
        let made = tokio::spawn(async move { repositories.ensure(&of).await });
        let house = made.await.map_err(|_| stopping::status())?;
        let house = house.map_err(RpcError::from)?;
        let repositories = self.repositories.clone();
        let read = tokio::task::spawn_blocking(move || repositories.handed_out(&host));
        let direct = read.await.map_err(|_| stopping::status())?;
        Ok((house, direct.map_err(RpcError::from)?))
    }

    /// Waits until so many MiB may be held.
    async fn room(&self, mebibytes: u32) -> Result<OwnedSemaphorePermit, Status> {
        let room = self
            .memory
            .clone()
            .acquire_many_owned(mebibytes.clamp(1, HELD));
        tokio::select! {
            room = room => room.map_err(|_| stopping::status()),
            () = self.stop.cancelled() => Err(stopping::status()),
        }
    }
}

#[tonic::async_trait]
impl Gateway for GatewayService {
    type ListObjectsStream = Answer<ListObjectsResponse>;
    type GetObjectStream = Answer<GetObjectResponse>;

    async fn open_repository(
        &self,
        request: Request<OpenRepositoryRequest>,
    ) -> Result<Response<OpenRepositoryResponse>, Status> {
        const CALL: &str = "Gateway/OpenRepository";
        let (peer, host) = self.caller(CALL, &request)?;
        let OpenRepositoryRequest { repository } = request.into_inner();
        let asked = self.readable(CALL, (&peer, &host), repository).await?;
        let (house, direct) = if asked.repository == host {
            self.own(host).await?
        } else {
            (self.house(&asked.repository).await?, None)
        };
        let key = serde_json::to_vec(&house.key.without_password())
            .map_err(|_| Status::internal("a key could not be written down"))?;
        Ok(Response::new(OpenRepositoryResponse {
            key,
            location: house.blobs.location(),
            direct: direct.map(convert::access),
        }))
    }

    async fn list_objects(
        &self,
        request: Request<ListObjectsRequest>,
    ) -> Result<Response<Self::ListObjectsStream>, Status> {
        const CALL: &str = "Gateway/ListObjects";
        let (peer, host) = self.caller(CALL, &request)?;
        let ListObjectsRequest { repository, kind } = request.into_inner();
        let asked = self.readable(CALL, (&peer, &host), repository).await?;
        let kind = convert::kind(kind)?;
        self.kind(CALL, (&peer, &host), kind, false)?;
        let house = self.house(&asked.repository).await?;
        let listed = house.blobs.list(kind).await.map_err(RpcError::from)?;
        let objects: Vec<_> = listed
            .into_iter()
            .map(|object| ListedObject {
                id: object.id.as_bytes().to_vec(),
                size: object.size,
            })
            .collect();
        let pages: Vec<_> = objects
            .chunks(PAGE)
            .map(|page| {
                Ok(ListObjectsResponse {
                    objects: page.to_vec(),
                })
            })
            .collect();
        Ok(Response::new(stream::iter(pages).boxed()))
    }

    async fn get_object(
        &self,
        request: Request<GetObjectRequest>,
    ) -> Result<Response<Self::GetObjectStream>, Status> {
        const CALL: &str = "Gateway/GetObject";
        let (peer, host) = self.caller(CALL, &request)?;
        let GetObjectRequest {
            repository,
            name,
            range,
        } = request.into_inner();
        let asked = self.readable(CALL, (&peer, &host), repository).await?;
        let name = convert::name(name)?;
        self.kind(CALL, (&peer, &host), name.kind, false)?;
        let house = self.house(&asked.repository).await?;
        let room = self.room(range.as_ref().map_or(PACK, mebibytes)).await?;
        let bytes = match range {
            None => house.blobs.get(name).await,
            Some(ObjectRange { start, length }) => {
                let end = start.saturating_add(length);
                house.blobs.get_range(name, start..end).await
            }
        };
        let pieces = pieces(bytes.map_err(RpcError::from)?, room);
        let pieces = stopping::until_stopped(pieces.boxed(), self.stop.clone());
        Ok(Response::new(pieces))
    }

    async fn put_object(
        &self,
        request: Request<Streaming<PutObjectRequest>>,
    ) -> Result<Response<PutObjectResponse>, Status> {
        const CALL: &str = "Gateway/PutObject";
        let (peer, host) = self.caller(CALL, &request)?;
        let stored = self.store(CALL, (&peer, &host), request.into_inner());
        tokio::select! {
            stored = stored => stored.map(|()| Response::new(PutObjectResponse {})),
            () = self.stop.cancelled() => Err(stopping::status()),
        }
    }
}

/// The bytes in messages; the memory is given back with the last one.
fn pieces(
    bytes: Bytes,
    room: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<GetObjectResponse, Status>> + Send {
    stream::unfold((bytes, room), |(mut rest, room)| async move {
        if rest.is_empty() {
            return None;
        }
        let data = rest.split_to(rest.len().min(PIECE));
        Some((Ok(GetObjectResponse { data }), (rest, room)))
    })
}

fn mebibytes(range: &ObjectRange) -> u32 {
    u32::try_from(range.length.div_ceil(1 << 20)).unwrap_or(HELD)
}

impl From<BlobsError> for RpcError {
    fn from(error: BlobsError) -> Self {
        use tonic::Code;
        let code = match &error {
            BlobsError::NotFound { .. } => Code::NotFound,
            BlobsError::Exists { .. } => Code::AlreadyExists,
            BlobsError::Refused { .. } | BlobsError::Credentials { .. } => Code::FailedPrecondition,
            BlobsError::Full { .. } => Code::ResourceExhausted,
            BlobsError::Failed { again: true, .. } => Code::Unavailable,
            BlobsError::Failed { again: false, .. } => Code::DataLoss,
        };
        let text = holdfast_chassis::telemetry::Chain(&error).to_string();
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the storage of a repository failed"
        );
        Self::new(code, text, "")
    }
}
