//! The same on a real S3 server: conditional writes, a whole backup, Debian's restic.
#![allow(clippy::unwrap_used, reason = "what panics here has failed the test")]

#[path = "support/backups.rs"]
mod backups;
#[path = "support/restic.rs"]
mod restic;
#[path = "support/s3.rs"]
mod server;

use std::{sync::Arc, time::Duration};

use backups::{content, read, write};
use bytes::Bytes;
use holdfast_repository::{
    Blobs, BlobsError, Depth, Grace, Kind, Name, ObjectId, Repository, RepositoryKey,
    storage::{Place, Storage},
};
use restic::restic;
use server::S3;

fn open(server: &S3, options: &[(&str, &str)]) -> Arc<dyn Blobs> {
    let storage = Storage::open(&Place::Bucket(server.bucket(options))).unwrap();
    Arc::new(storage.folder("web-1"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_in_a_bucket_reads_back_here_and_with_restic() {
    let server = S3::start();
    let key = RepositoryKey::random();
    let repository = Repository::create(open(&server, &[]), key.clone())
        .await
        .unwrap();
    let (one, two) = (content(30), content(31));
    let first = write(&repository, &one).await.unwrap().snapshot;
    let second = write(&repository, &two).await.unwrap().snapshot;
    assert_eq!(read(&repository, first).await.unwrap(), one);
    // This server answers restic's listing of packs (an empty delimiter) with none, and keeps objects as files:
    // restic checks those, and reads through the server.
    restic(
        &server.folder("web-1"),
        key.password(),
        &["check", "--read-data"],
    );
    let dumped = server.restic(
        key.password(),
        &["dump", &second.to_string(), "/orders.0001"],
    );
    assert!(dumped == two["orders.0001"]);
    repository.forget(&[first]).await.unwrap();
    repository
        .prune(&[], Grace::at_least(Duration::ZERO))
        .await
        .unwrap();
    assert_eq!(read(&repository, second).await.unwrap(), two);
    let sound = repository
        .check(Depth::Data { percent: 100.0 })
        .await
        .unwrap();
    assert!(sound.is_sound(), "{sound:?}");
    restic(
        &server.folder("web-1"),
        key.password(),
        &["check", "--read-data"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_overwritten_with_and_without_conditional_writes() {
    let server = S3::start();
    for options in [&[][..], &[("conditional_put", "disabled")]] {
        let storage = open(&server, options);
        let content = |text: &'static str| vec![Bytes::from_static(text.as_bytes())];
        let name = Name::new(Kind::Pack, ObjectId::of(&content("one")));
        storage.put_new(name, content("one")).await.unwrap();
        storage.put_new(name, content("one")).await.unwrap();
        let other = storage.put_new(name, content("two")).await.unwrap_err();
        assert!(matches!(other, BlobsError::Exists { .. }), "{other:?}");
        assert_eq!(storage.get(name).await.unwrap(), "one");
        assert_eq!(storage.get_range(name, 1..3).await.unwrap(), "ne");
        assert!(storage.get_range(name, 1..9).await.is_err());
        assert_eq!(storage.list(Kind::Pack).await.unwrap().len(), 1);
        storage.remove(name).await.unwrap();
        storage.remove(name).await.unwrap();
        let gone = storage.get(name).await.unwrap_err();
        assert!(matches!(gone, BlobsError::NotFound { .. }), "{gone:?}");
        assert!(storage.list(Kind::Pack).await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_refused_and_not_shown() {
    let server = S3::start();
    let storage = open(&server, &[("secret_access_key", "hunter2hunter2")]);
    let refused = storage.list(Kind::Pack).await.unwrap_err();
    let told = format!(
        "{refused:?} {}",
        holdfast_chassis::telemetry::Chain(&refused)
    );
    assert!(!told.contains("hunter2"), "{told}");
    assert!(!refused.again(), "{told}");
}
