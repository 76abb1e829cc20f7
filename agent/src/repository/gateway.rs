//! The gateway as a place that keeps objects: each call tried again while the controller is away.
//!
//! Every call may be repeated: an object that is there already and is equal is a success, and reading
//! changes nothing.

use std::{error::Error, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_chassis::{
    retry::{Policy, RetryError, retry_while},
    tls::client_channel,
};
use holdfast_proto::wire::{
    GetObjectRequest, ListObjectsRequest, ObjectRange, OpenObject, OpenRepositoryRequest,
    OpenRepositoryResponse, PutObjectRequest, gateway_client::GatewayClient,
    put_object_request::Message,
};
use holdfast_repository::{Blobs, BlobsError, Kind, Listed, Name, ObjectId};
use tokio::{sync::Mutex, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, transport::Channel};

use super::{Repositories, Whose, convert, never};
use crate::link;

/// Of one message on the wire.
const PIECE: usize = 1 << 20;
/// One attempt: a pack of 16 MiB over half a megabit a second.
const CALL: Duration = Duration::from_secs(300);
/// About five minutes: a controller that is restarted or replaced is waited for.
const AGAIN: Policy = Policy::attempts(24, Duration::from_millis(200), Duration::from_secs(15));

/// One attempt that failed, in the controller's words.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message())]
pub struct CallFailed(#[from] Status);

/// A connection to whichever controller answers; made anew when it broke.
#[derive(Debug)]
pub(super) struct Line {
    reach: Repositories,
    channel: Mutex<Option<Channel>>,
}

#[derive(Debug)]
pub(super) struct Gateway {
    line: Line,
    whose: Whose,
    location: String,
}

impl Line {
    pub(super) fn new(reach: Repositories) -> Self {
        Self {
            reach,
            channel: Mutex::default(),
        }
    }

    /// The repository's key and the way to it, as they are now.
    pub(super) async fn open_repository(
        &self,
        whose: &Whose,
    ) -> Result<OpenRepositoryResponse, RetryError<CallFailed>> {
        let request = OpenRepositoryRequest {
            repository: Some(whose.into()),
        };
        self.call(&format!("open the repository of {whose}"), |mut client| {
            let request = request.clone();
            async move { Ok(client.open_repository(request).await?.into_inner()) }
        })
        .await
    }

    /// Does it until it is answered, refused, or tried often enough.
    pub(super) async fn call<T, Running>(
        &self,
        what: &str,
        op: impl Fn(GatewayClient<Channel>) -> Running,
    ) -> Result<T, RetryError<CallFailed>>
    where
        Running: Future<Output = Result<T, Status>>,
    {
        let attempt = async || {
            let channel = self.channel().await?;
            let answered = timeout(CALL, op(GatewayClient::new(channel))).await;
            let answered = answered.unwrap_or_else(|_| {
                Err(Status::deadline_exceeded(format!(
                    "no answer within {} s",
                    CALL.as_secs()
                )))
            });
            if answered.as_ref().is_err_and(may_help) {
                *self.channel.lock().await = None;
            }
            answered.map_err(CallFailed)
        };
        // Whoever does not want it any more drops it.
        let never_stopped = CancellationToken::new();
        retry_while(
            AGAIN,
            &never_stopped,
            what,
            |failed| may_help(&failed.0),
            attempt,
        )
        .await
    }

    async fn channel(&self) -> Result<Channel, CallFailed> {
        let mut kept = self.channel.lock().await;
        if let Some(channel) = &*kept {
            return Ok(channel.clone());
        }
        let mut reason = String::from("no controller is known");
        for address in self.reach.controllers.iter() {
            let (identity, roots) = (&self.reach.identity, &self.reach.roots);
            match client_channel(address, link::CONTROLLER, identity, roots).await {
                Ok(channel) => return Ok(kept.insert(channel).clone()),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(CallFailed(Status::unavailable(reason)))
    }
}

impl Gateway {
    pub(super) fn new(line: Line, whose: Whose, location: String) -> Self {
        Self {
            line,
            whose,
            location,
        }
    }

    async fn read(&self, name: Name, range: Option<Range<u64>>) -> Result<Bytes, BlobsError> {
        let request = GetObjectRequest {
            repository: Some((&self.whose).into()),
            name: Some(convert::name(name)),
            range: range.as_ref().map(|range| ObjectRange {
                start: range.start,
                length: range.end - range.start,
            }),
        };
        let what = format!("read {name}");
        let read = self.line.call(&what, |mut client| {
            let request = request.clone();
            async move {
                let mut answer = client.get_object(request).await?.into_inner();
                let mut pieces = Vec::new();
                while let Some(piece) = answer.message().await? {
                    pieces.push(piece.data);
                }
                Ok(join(pieces))
            }
        });
        let bytes = read
            .await
            .map_err(|error| self.failed("read", name, error))?;
        let wanted = range.map(|range| range.end - range.start);
        if wanted.is_some_and(|wanted| wanted != bytes.len() as u64) {
            return Err(BlobsError::Failed {
                doing: format!("read {name}"),
                location: self.location.clone(),
                again: false,
                source: format!(
                    "{} bytes came, which is not what was asked for",
                    bytes.len()
                )
                .into(),
            });
        }
        Ok(bytes)
    }

    fn failed(&self, doing: &'static str, name: Name, error: RetryError<CallFailed>) -> BlobsError {
        let location = self.location.clone();
        match code(&error) {
            Some(Code::NotFound) => BlobsError::NotFound { name, location },
            Some(Code::AlreadyExists) => BlobsError::Exists { name, location },
            Some(Code::PermissionDenied | Code::Unauthenticated | Code::FailedPrecondition) => {
                BlobsError::Refused {
                    what: if doing == "read" { "read" } else { "written" },
                    name,
                    location,
                    source: Some(Box::new(error)),
                }
            }
            Some(Code::ResourceExhausted) => BlobsError::Full {
                name,
                location,
                source: Box::new(error),
            },
            _ => BlobsError::Failed {
                doing: format!("{doing} {name}"),
                location,
                again: matches!(error, RetryError::GaveUp { .. }),
                source: Box::new(error),
            },
        }
    }
}

#[async_trait]
impl Blobs for Gateway {
    fn location(&self) -> String {
        self.location.clone()
    }

    async fn list(&self, kind: Kind) -> Result<Vec<Listed>, BlobsError> {
        let request = ListObjectsRequest {
            repository: Some((&self.whose).into()),
            kind: convert::kind(kind).into(),
        };
        let what = format!("list {kind}");
        let listed = self.line.call(&what, |mut client| {
            let request = request.clone();
            async move {
                let mut answer = client.list_objects(request).await?.into_inner();
                let mut objects = Vec::new();
                while let Some(page) = answer.message().await? {
                    objects.extend(page.objects);
                }
                Ok(objects)
            }
        });
        let listed = listed.await.map_err(|error| BlobsError::Failed {
            doing: format!("list {kind}"),
            location: self.location.clone(),
            again: matches!(error, RetryError::GaveUp { .. }),
            source: Box::new(error),
        })?;
        listed
            .into_iter()
            .map(|object| {
                let id = object.id.try_into().map_err(|_| BlobsError::Failed {
                    doing: format!("list {kind}"),
                    location: self.location.clone(),
                    again: false,
                    source: "the controller named an object that is none".into(),
                })?;
                Ok(Listed {
                    id: ObjectId::new(id),
                    size: object.size,
                })
            })
            .collect()
    }

    async fn get(&self, name: Name) -> Result<Bytes, BlobsError> {
        self.read(name, None).await
    }

    async fn get_range(&self, name: Name, range: Range<u64>) -> Result<Bytes, BlobsError> {
        self.read(name, Some(range)).await
    }

    async fn put_new(&self, name: Name, content: Vec<Bytes>) -> Result<(), BlobsError> {
        if self.whose.job != 0 {
            return Err(never("written", name, &self.location));
        }
        let size = content.iter().map(|piece| piece.len() as u64).sum();
        let open = OpenObject {
            name: Some(convert::name(name)),
            size,
        };
        let messages: Arc<[PutObjectRequest]> = std::iter::once(Message::Open(open))
            .chain(content.into_iter().flat_map(pieces).map(Message::Data))
            .map(|message| PutObjectRequest {
                message: Some(message),
            })
            .collect();
        self.line
            .call(&format!("write {name}"), |mut client| {
                let messages = messages.clone();
                async move {
                    // Clones of the messages share their bytes.
                    let each = (0..messages.len()).map(move |at| messages[at].clone());
                    client.put_object(tokio_stream::iter(each)).await.map(drop)
                }
            })
            .await
            .map_err(|error| self.failed("write", name, error))
    }

    async fn remove(&self, name: Name) -> Result<(), BlobsError> {
        Err(never("removed", name, &self.location))
    }
}

/// Anything that a broken connection or a controller that is away looks like.
fn may_help(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
    )
}

fn code(error: &RetryError<CallFailed>) -> Option<Code> {
    let cause = error.source()?.downcast_ref::<CallFailed>()?;
    Some(cause.0.code())
}

fn pieces(mut bytes: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let next = bytes.split_to(bytes.len().min(PIECE));
        (!next.is_empty()).then_some(next)
    })
}

fn join(mut pieces: Vec<Bytes>) -> Bytes {
    if pieces.len() == 1
        && let Some(only) = pieces.pop()
    {
        return only;
    }
    pieces.concat().into()
}
