//! The same on an S3 server, on Azure's emulator and on what stands in for GCS: a whole backup, conditional writes,
//! refusals, a server that is away, long lists; on S3, Debian's restic as well.
#![allow(clippy::unwrap_used, reason = "what panics here has failed the test")]

#[path = "support/azure.rs"]
mod azure;
#[path = "support/backups.rs"]
mod backups;
#[path = "support/gcs.rs"]
mod gcs;
#[path = "support/restic.rs"]
mod restic;
#[path = "support/s3.rs"]
mod s3;
#[path = "support/server.rs"]
mod server;

use std::{collections::BTreeSet, sync::Arc};

use backups::{Content, content, read, write};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use holdfast_repository::{
    Blobs, BlobsError, Depth, Grace, Kind, Name, ObjectId, Repository, RepositoryKey, SnapshotId,
};
use restic::restic;
use s3::S3;
use server::{Server, opened};

/// A repository with two backups.
struct Kept {
    repository: Repository,
    first: SnapshotId,
    second: SnapshotId,
    two: Content,
}

async fn backed_up(storage: Arc<dyn Blobs>, key: &RepositoryKey) -> Kept {
    let repository = Repository::create(storage.clone(), key.clone())
        .await
        .unwrap();
    let (one, two) = (content(30), content(31));
    let first = write(&repository, &one).await.unwrap().snapshot;
    let second = write(&repository, &two).await.unwrap().snapshot;
    // As another process finds it.
    let repository = Repository::open(storage, key.clone()).await.unwrap();
    assert_eq!(read(&repository, first).await.unwrap(), one);
    Kept {
        repository,
        first,
        second,
        two,
    }
}

/// Bytes of packs.
async fn stored(storage: &dyn Blobs) -> u64 {
    let packs = storage.list(Kind::Pack).await.unwrap();
    packs.iter().map(|pack| pack.size).sum()
}

async fn prune_the_first(kept: &Kept, storage: &dyn Blobs) {
    let before = stored(storage).await;
    kept.repository.forget(&[kept.first]).await.unwrap();
    // One marks, the next one removes.
    let grace = Grace::none_because_nothing_else_writes();
    kept.repository.prune(&[], grace).await.unwrap();
    kept.repository.prune(&[], grace).await.unwrap();
    assert!(stored(storage).await < before);
    assert_eq!(read(&kept.repository, kept.second).await.unwrap(), kept.two);
    let sound = kept
        .repository
        .check(Depth::Data { percent: 100.0 })
        .await
        .unwrap();
    assert!(sound.is_sound(), "{sound:?}");
}

fn pack(text: &'static str) -> (Name, Vec<Bytes>) {
    let content = vec![Bytes::from_static(text.as_bytes())];
    (Name::new(Kind::Pack, ObjectId::of(&content)), content)
}

fn told(error: &BlobsError) -> String {
    format!("{error:?} {}", holdfast_chassis::telemetry::Chain(error))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_in_a_bucket_reads_back_with_restic() {
    let server = S3::start();
    let key = RepositoryKey::random();
    let storage = server.open("web-1", &[]);
    let kept = backed_up(storage.clone(), &key).await;
    // This server answers restic's listing of packs (an empty delimiter) with none, and keeps objects as files:
    // restic checks those, and reads through the server.
    let check = || {
        restic(
            &server.folder("web-1"),
            key.password(),
            &["check", "--read-data"],
        )
    };
    check();
    let second = kept.second.to_string();
    let dumped = server.restic(key.password(), &["dump", &second, "/orders.0001"]);
    assert!(dumped == kept.two["orders.0001"]);
    prune_the_first(&kept, storage.as_ref()).await;
    check();
}

async fn a_backup_reads_back_here<S: Server>() {
    let server = S::start();
    let storage = server.open("web-1", &[]);
    let kept = backed_up(storage.clone(), &RepositoryKey::random()).await;
    prune_the_first(&kept, storage.as_ref()).await;
}

async fn nothing_is_overwritten_with<S: Server>(server: &S, options: &[(&str, &str)]) {
    let storage = server.open("web-1", options);
    let (name, one) = pack("one");
    storage.put_new(name, one.clone()).await.unwrap();
    storage.put_new(name, one).await.unwrap();
    let other = storage.put_new(name, pack("two").1).await.unwrap_err();
    assert!(matches!(other, BlobsError::Exists { .. }), "{other:?}");
    assert_eq!(storage.get(name).await.unwrap(), "one");
    assert_eq!(storage.get_range(name, 1..3).await.unwrap(), "ne");
    assert!(storage.get_range(name, 1..9).await.is_err());
    assert!(storage.get_range(name, 7..9).await.is_err());
    assert_eq!(storage.list(Kind::Pack).await.unwrap().len(), 1);
    storage.remove(name).await.unwrap();
    storage.remove(name).await.unwrap();
    let gone = storage.get(name).await.unwrap_err();
    assert!(matches!(gone, BlobsError::NotFound { .. }), "{gone:?}");
    assert!(storage.list(Kind::Pack).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_overwritten_on_a_server_without_conditional_writes() {
    nothing_is_overwritten_with(&S3::start(), &[("conditional_put", "disabled")]).await;
}

async fn nothing_is_overwritten<S: Server>() {
    nothing_is_overwritten_with(&S::start(), &[]).await;
}

async fn of_several_writers_one_has_written<S: Server>() {
    let server = S::start();
    let storage = server.open("web-1", &[]);
    let name = pack("one").0;
    let writers = ["one", "two", "three", "four"].map(|text| {
        let storage = storage.clone();
        async move { storage.put_new(name, pack(text).1).await }
    });
    let written = futures::future::join_all(writers).await;
    let refused: Vec<_> = written.iter().filter_map(|w| w.as_ref().err()).collect();
    assert_eq!(refused.len(), 3, "{written:?}");
    for refused in refused {
        assert!(matches!(refused, BlobsError::Exists { .. }), "{refused:?}");
    }
}

async fn wrong_credentials_are_refused_and_not_shown<S: Server>() {
    let server = S::start();
    let (name, content) = pack("one");
    let ours = server.open("web-1", &[]);
    ours.put_new(name, content.clone()).await.unwrap();
    let (options, secret) = server.stranger();
    let mut bucket = server.bucket(&[]);
    bucket.options.extend(options);
    let storage = opened(&bucket, "web-1");
    let refusals = [
        storage.list(Kind::Pack).await.unwrap_err(),
        storage.list(Kind::Config).await.unwrap_err(),
        storage.get(name).await.unwrap_err(),
        storage.get_range(name, 0..1).await.unwrap_err(),
        storage.put_new(name, content).await.unwrap_err(),
        storage.remove(name).await.unwrap_err(),
    ];
    for refused in &refusals {
        let told = told(refused);
        assert!(!refused.again(), "{told}");
        assert!(!told.contains(secret), "{told}");
    }
    // Not those of the lists: another kind of failure there is as loud.
    for refused in &refusals[2..] {
        assert!(
            matches!(refused, BlobsError::Credentials { .. }),
            "{refused:?}"
        );
    }
    assert_eq!(ours.get(name).await.unwrap(), "one");
}

async fn a_server_that_is_away_may_come_back<S: Server>() {
    let mut server = S::start();
    let (name, content) = pack("one");
    let storage = server.open("web-1", &[]);
    storage.put_new(name, content.clone()).await.unwrap();
    server.process().stop();
    let (list, get, put, remove) = tokio::join!(
        storage.list(Kind::Pack),
        storage.get(name),
        storage.put_new(name, content),
        storage.remove(name),
    );
    let errors = [
        list.unwrap_err(),
        get.unwrap_err(),
        put.unwrap_err(),
        remove.unwrap_err(),
    ];
    for away in &errors {
        assert!(away.again(), "{}", told(away));
    }
}

fn elsewhere<S: Server>(server: &S) -> Arc<dyn Blobs> {
    let mut bucket = server.bucket(&[]);
    bucket.url = bucket.url.replace("backups", "elsewhere");
    opened(&bucket, "web-1")
}

async fn a_bucket_that_is_not_there_is_no_empty_one<S: Server>() {
    let server = S::start();
    let storage = elsewhere(&server);
    let listed = storage.list(Kind::Pack).await.unwrap_err();
    assert!(!listed.again(), "{}", told(&listed));
}

async fn nothing_is_written_where_no_bucket_is<S: Server>() {
    let server = S::start();
    let (name, content) = pack("one");
    let put = elsewhere(&server).put_new(name, content).await.unwrap_err();
    let told = told(&put);
    let final_word = matches!(put, BlobsError::Failed { again: false, .. });
    assert!(final_word, "{told}");
    assert!(told.contains("could not write data/"), "{told}");
}

/// A signature that was shared without leave to remove: what is written stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_shared_signature_of_azure_lets_be_done_what_it_says() {
    let server = azure::Azure::start();
    let storage = opened(&server.shared("racwl"), "web-1");
    let (name, content) = pack("one");
    storage.put_new(name, content.clone()).await.unwrap();
    storage.put_new(name, content).await.unwrap();
    let other = storage.put_new(name, pack("two").1).await.unwrap_err();
    assert!(matches!(other, BlobsError::Exists { .. }), "{other:?}");
    assert_eq!(storage.get(name).await.unwrap(), "one");
    let kept = storage.remove(name).await.unwrap_err();
    assert!(
        matches!(kept, BlobsError::Credentials { .. }),
        "{}",
        told(&kept)
    );
    assert_eq!(storage.list(Kind::Pack).await.unwrap().len(), 1);
    let storage = opened(&server.shared("racwdl"), "web-1");
    storage.remove(name).await.unwrap();
    assert!(storage.list(Kind::Pack).await.unwrap().is_empty());
}

/// As the operator may write it into the file of credentials.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_is_a_file_or_its_content() {
    let server = gcs::Gcs::start();
    let (name, content) = pack("one");
    let storage = server.open("web-1", &[]);
    storage.put_new(name, content).await.unwrap();
    let storage = opened(&server.without_file(), "web-1");
    assert_eq!(storage.get(name).await.unwrap(), "one");
}

async fn lists_are_whole_and_end_at_the_folder<S: Server>() {
    let server = S::start();
    let (ours, theirs) = (server.open("web-1", &[]), server.open("web-10", &[]));
    let name = |number: usize| {
        let content = vec![Bytes::from(number.to_string())];
        (Name::new(Kind::Snapshot, ObjectId::of(&content)), content)
    };
    let (other, content) = name(usize::MAX);
    theirs.put_new(other, content).await.unwrap();
    let written: BTreeSet<_> = futures::stream::iter(0..=S::PAGE)
        .map(|number| {
            let ((name, content), storage) = (name(number), ours.clone());
            async move { storage.put_new(name, content).await.map(|()| name.id) }
        })
        .buffer_unordered(16)
        .try_collect()
        .await
        .unwrap();
    let listed = ours.list(Kind::Snapshot).await.unwrap();
    assert_eq!(listed.len(), S::PAGE + 1);
    assert!(listed.iter().all(|object| (1..=4).contains(&object.size)));
    let ids: BTreeSet<_> = listed.iter().map(|object| object.id).collect();
    assert_eq!(ids, written);
    let listed = theirs.list(Kind::Snapshot).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].id, other.id);
}

macro_rules! on {
    ($server:ty, $module:ident: $($scenario:ident),* $(,)?) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $scenario() {
                super::$scenario::<$server>().await;
            })*
        }
    };
}

// The S3 server of these tests looks first, then writes, so that several writers at once succeed; and it makes
// a bucket for whoever writes to it.
on!(crate::s3::S3, on_s3:
    nothing_is_overwritten,
    wrong_credentials_are_refused_and_not_shown,
    a_server_that_is_away_may_come_back,
    a_bucket_that_is_not_there_is_no_empty_one,
    lists_are_whole_and_end_at_the_folder,
);

on!(crate::azure::Azure, on_azure:
    a_backup_reads_back_here,
    nothing_is_overwritten,
    of_several_writers_one_has_written,
    wrong_credentials_are_refused_and_not_shown,
    a_server_that_is_away_may_come_back,
    a_bucket_that_is_not_there_is_no_empty_one,
    nothing_is_written_where_no_bucket_is,
    lists_are_whole_and_end_at_the_folder,
);

on!(crate::gcs::Gcs, on_gcs:
    a_backup_reads_back_here,
    nothing_is_overwritten,
    of_several_writers_one_has_written,
    wrong_credentials_are_refused_and_not_shown,
    a_server_that_is_away_may_come_back,
    a_bucket_that_is_not_there_is_no_empty_one,
    nothing_is_written_where_no_bucket_is,
    lists_are_whole_and_end_at_the_folder,
);
