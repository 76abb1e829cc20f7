//! A gateway on loopback over a directory, which breaks and refuses when it is told to; or over a bucket
//! that it hands out credentials for.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use futures::{Stream, StreamExt as _, stream};
use holdfast_agent::repository::Repositories;
use holdfast_chassis::{
    clock::SystemClock,
    identity::{Authority, Credentials, Identity, NewKey, Validity},
    tls::{Revoked, Roots, RotatingIdentity, ServerTls, serve_incoming},
};
use holdfast_proto::wire::{
    self, ObjectKind,
    gateway_server::{Gateway, GatewayServer},
    put_object_request::Message,
};
use holdfast_repository::{
    Blobs as _, BlobsError, Kind, Name, ObjectId, Repository, RepositoryKey,
    storage::{Bucket, Place, Storage},
};
use tokio::net::TcpListener;
use tonic::{Code, Request, Response, Status, Streaming};

/// Where the gateway breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    BeforeStoring,
    /// It is stored, and the agent does not hear of it.
    AnswerLost,
    InTheMiddleOfReading,
    WhileListing,
}

#[derive(Debug)]
struct State {
    storage: Storage,
    key: RepositoryKey,
    fault: Mutex<Option<Fault>>,
    left: AtomicU32,
    refuse: Mutex<Option<Code>>,
    refused: AtomicU32,
    puts: AtomicU32,
    /// What is handed out, one after the other; the last one stays.
    direct: Mutex<VecDeque<Option<Bucket>>>,
}

pub struct House {
    state: Arc<State>,
    reach: Repositories,
    _folder: tempfile::TempDir,
}

struct Service(Arc<State>);

type Answer<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl House {
    pub async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Directory(folder.path().to_owned());
        Self::at(&place, folder).await
    }

    /// Hands out what it works with itself.
    pub async fn in_bucket(bucket: &Bucket) -> Self {
        let place = Place::Bucket(bucket.clone());
        let house = Self::at(&place, tempfile::tempdir().unwrap()).await;
        house.hands_out([Some(bucket.clone())]);
        house
    }

    async fn at(place: &Place, folder: tempfile::TempDir) -> Self {
        let storage = Storage::open(place).unwrap();
        let key = RepositoryKey::random();
        Repository::create(Arc::new(storage.clone()), key.clone())
            .await
            .unwrap();
        let (authority, _) = Authority::make(Utc::now()).unwrap();
        let roots = Roots::from_pem(authority.certificate_pem()).unwrap();
        let state = Arc::new(State {
            storage,
            key,
            fault: Mutex::default(),
            left: AtomicU32::new(0),
            refuse: Mutex::default(),
            refused: AtomicU32::new(0),
            puts: AtomicU32::new(0),
            direct: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let controller = member(&authority, &Identity::Controller);
        let clock = Arc::new(SystemClock);
        let tls = ServerTls::new(controller, &roots, Revoked::default(), clock).unwrap();
        let incoming = serve_incoming(listener, tls, |_| {});
        let server = holdfast_chassis::tls::server()
            .add_service(GatewayServer::new(Service(state.clone())))
            .serve_with_incoming(incoming);
        tokio::spawn(server);
        let reach = Repositories {
            identity: member(&authority, &Identity::Host("web-1".to_owned())),
            roots,
            controllers: Arc::new([address]),
        };
        Self {
            state,
            reach,
            _folder: folder,
        }
    }

    pub fn repositories(&self) -> &Repositories {
        &self.reach
    }

    /// To whoever opens the repository; `None`: it goes through the gateway.
    pub fn hands_out(&self, direct: impl Into<VecDeque<Option<Bucket>>>) {
        *self.state.direct.lock().unwrap() = direct.into();
    }

    /// How many objects came through the gateway.
    pub fn puts(&self) -> u32 {
        self.state.puts.load(Ordering::SeqCst)
    }

    /// What Debian's restic opens the repository with.
    pub fn password(&self) -> &str {
        self.state.key.password()
    }

    pub fn breaks_twice(&self, fault: Fault) {
        *self.state.fault.lock().unwrap() = Some(fault);
        self.state.left.store(2, Ordering::SeqCst);
    }

    pub fn faults_left(&self) -> u32 {
        self.state.left.load(Ordering::SeqCst)
    }

    /// Every call that writes or opens, from now on.
    pub fn refuses(&self, code: Code) {
        *self.state.refuse.lock().unwrap() = Some(code);
    }

    pub fn refuses_no_more(&self) {
        *self.state.refuse.lock().unwrap() = None;
    }

    pub fn refusals(&self) -> u32 {
        self.state.refused.load(Ordering::SeqCst)
    }
}

impl State {
    fn direct(&self) -> Option<wire::DirectAccess> {
        let mut direct = self.direct.lock().unwrap();
        let next = match direct.len() {
            0 | 1 => direct.front().cloned().flatten(),
            _ => direct.pop_front().flatten(),
        };
        next.map(|bucket| wire::DirectAccess {
            url: bucket.url,
            options: bucket.options.into_iter().collect(),
            authority: bucket.authority.unwrap_or_default(),
        })
    }

    /// Breaks here if it shall.
    fn break_at(&self, here: Fault) -> Result<(), Status> {
        if *self.fault.lock().unwrap() != Some(here) {
            return Ok(());
        }
        let left = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        match left {
            Ok(_) => Err(Status::unavailable(format!("{here:?}"))),
            Err(_) => Ok(()),
        }
    }

    fn refuse(&self) -> Result<(), Status> {
        match *self.refuse.lock().unwrap() {
            Some(code) => {
                self.refused.fetch_add(1, Ordering::SeqCst);
                Err(Status::new(code, "not yours"))
            }
            None => Ok(()),
        }
    }
}

#[tonic::async_trait]
impl Gateway for Service {
    type ListObjectsStream = Answer<wire::ListObjectsResponse>;
    type GetObjectStream = Answer<wire::GetObjectResponse>;

    async fn open_repository(
        &self,
        _: Request<wire::OpenRepositoryRequest>,
    ) -> Result<Response<wire::OpenRepositoryResponse>, Status> {
        self.0.refuse()?;
        Ok(Response::new(wire::OpenRepositoryResponse {
            key: serde_json::to_vec(&self.0.key.without_password()).unwrap(),
            location: "the test's".to_owned(),
            direct: self.0.direct(),
        }))
    }

    async fn list_objects(
        &self,
        request: Request<wire::ListObjectsRequest>,
    ) -> Result<Response<Self::ListObjectsStream>, Status> {
        self.0.break_at(Fault::WhileListing)?;
        let listed = self.0.storage.list(kind(request.into_inner().kind)).await;
        let objects = listed
            .unwrap()
            .into_iter()
            .map(|object| wire::ListedObject {
                id: object.id.as_bytes().to_vec(),
                size: object.size,
            });
        let page = wire::ListObjectsResponse {
            objects: objects.collect(),
        };
        Ok(Response::new(stream::iter([Ok(page)]).boxed()))
    }

    async fn get_object(
        &self,
        request: Request<wire::GetObjectRequest>,
    ) -> Result<Response<Self::GetObjectStream>, Status> {
        let wire::GetObjectRequest {
            name: of, range, ..
        } = request.into_inner();
        let of = name(of);
        let bytes = match range {
            None => self.0.storage.get(of).await,
            Some(range) => {
                let range = range.start..range.start + range.length;
                self.0.storage.get_range(of, range).await
            }
        };
        let bytes = bytes.map_err(|error| Status::not_found(error.to_string()))?;
        let (one, two) = bytes.split_at(bytes.len() / 2);
        let piece = |data: &[u8]| {
            Ok(wire::GetObjectResponse {
                data: Bytes::copy_from_slice(data),
            })
        };
        let rest = match self.0.break_at(Fault::InTheMiddleOfReading) {
            Ok(()) => piece(two),
            Err(broken) => Err(broken),
        };
        Ok(Response::new(stream::iter([piece(one), rest]).boxed()))
    }

    async fn put_object(
        &self,
        request: Request<Streaming<wire::PutObjectRequest>>,
    ) -> Result<Response<wire::PutObjectResponse>, Status> {
        self.0.refuse()?;
        self.0.puts.fetch_add(1, Ordering::SeqCst);
        let mut inbound = request.into_inner();
        let first = inbound.message().await?.and_then(|request| request.message);
        let Some(Message::Open(open)) = first else {
            return Err(Status::invalid_argument("no opening"));
        };
        let mut content = Vec::new();
        while let Some(request) = inbound.message().await? {
            let Some(Message::Data(data)) = request.message else {
                return Err(Status::invalid_argument("no data"));
            };
            content.push(data);
        }
        self.0.break_at(Fault::BeforeStoring)?;
        assert_eq!(
            content.iter().map(Bytes::len).sum::<usize>() as u64,
            open.size
        );
        match self.0.storage.put_new(name(open.name), content).await {
            Ok(()) => {}
            Err(BlobsError::Exists { .. }) => return Err(Status::already_exists("another")),
            Err(error) => return Err(Status::internal(error.to_string())),
        }
        self.0.break_at(Fault::AnswerLost)?;
        Ok(Response::new(wire::PutObjectResponse {}))
    }
}

fn kind(kind: i32) -> Kind {
    match ObjectKind::try_from(kind).unwrap() {
        ObjectKind::Config => Kind::Config,
        ObjectKind::Key => Kind::Key,
        ObjectKind::Snapshot => Kind::Snapshot,
        ObjectKind::Index => Kind::Index,
        ObjectKind::Pack => Kind::Pack,
        ObjectKind::Unspecified => panic!("no kind"),
    }
}

fn name(name: Option<wire::ObjectName>) -> Name {
    let wire::ObjectName { kind: of, id } = name.unwrap();
    match kind(of) {
        Kind::Config => Name::CONFIG,
        kind => Name::new(kind, ObjectId::new(id.try_into().unwrap())),
    }
}

fn member(authority: &Authority, identity: &Identity) -> RotatingIdentity {
    let key = NewKey::make().unwrap();
    let validity = Validity::starting(Utc::now(), TimeDelta::days(1));
    let issued = authority.issue(&key.request().unwrap(), identity, validity);
    RotatingIdentity::new(Credentials::from_answer(&key, &issued.unwrap().1).unwrap())
}
