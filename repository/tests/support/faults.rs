//! A storage that fails at one call, or from one call on.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_repository::{Blobs, BlobsError, Kind, Listed, Name};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This one call is not done.
    Once(u64),
    /// This call is done, and its answer gets lost.
    AnswerLost(u64),
    /// This call and every later one: the storage is gone.
    From(u64),
}

#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn Blobs>,
    fault: Fault,
    calls: AtomicU64,
    fired: AtomicU64,
}

impl Faulty {
    pub fn new(inner: Arc<dyn Blobs>, fault: Fault) -> Arc<Self> {
        Arc::new(Self {
            inner,
            fault,
            calls: AtomicU64::new(0),
            fired: AtomicU64::new(0),
        })
    }

    pub fn fired(&self) -> bool {
        self.fired.load(Ordering::SeqCst) > 0
    }

    async fn through<T>(
        &self,
        doing: &str,
        call: impl Future<Output = Result<T, BlobsError>>,
    ) -> Result<T, BlobsError> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let (fails, does) = match self.fault {
            Fault::Once(at) => (number == at, number != at),
            Fault::AnswerLost(at) => (number == at, true),
            Fault::From(at) => (number >= at, number < at),
        };
        let done = if does { Some(call.await) } else { None };
        match done {
            Some(done) if !fails => done,
            _ => {
                self.fired.fetch_add(1, Ordering::SeqCst);
                Err(BlobsError::Failed {
                    doing: format!("{doing} (call {number})"),
                    location: self.inner.location(),
                    again: true,
                    source: "the test's fault".into(),
                })
            }
        }
    }
}

#[async_trait]
impl Blobs for Faulty {
    fn location(&self) -> String {
        self.inner.location()
    }

    async fn list(&self, kind: Kind) -> Result<Vec<Listed>, BlobsError> {
        self.through("list", self.inner.list(kind)).await
    }

    async fn get(&self, name: Name) -> Result<Bytes, BlobsError> {
        self.through("read", self.inner.get(name)).await
    }

    async fn get_range(&self, name: Name, range: Range<u64>) -> Result<Bytes, BlobsError> {
        self.through("read", self.inner.get_range(name, range))
            .await
    }

    async fn put_new(&self, name: Name, content: Vec<Bytes>) -> Result<(), BlobsError> {
        self.through("write", self.inner.put_new(name, content))
            .await
    }

    async fn remove(&self, name: Name) -> Result<(), BlobsError> {
        self.through("remove", self.inner.remove(name)).await
    }
}
