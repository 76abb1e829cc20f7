//! Backups through a gateway that breaks: what was interrupted is tried again, what is refused is not.
//! And past it, straight into a bucket.

use crate::gateway::{Fault, House};
use crate::s3::S3;
use crate::server::Server as _;
use bytes::Bytes;
use holdfast_agent::repository::{OpenError, Whose};
use holdfast_repository::{
    About, BlobsError, Plan, Repository, RepositoryError, Stored, storage::Bucket,
};
use tonic::Code;

fn own() -> Whose {
    Whose {
        host: "web-1".to_owned(),
        job: 0,
    }
}

async fn back_up(repository: &Repository, content: &Bytes) -> Result<Stored, RepositoryError> {
    let mut writing = repository.write(Plan {
        about: About {
            host: "web-1".to_owned(),
            label: "web-1/shop-db/shop".to_owned(),
            tags: Vec::new(),
            time: chrono::Utc::now(),
        },
        entries: vec!["orders".parse().unwrap()],
        last: "zz".parse().unwrap(),
        at_once: 2,
    });
    while let Some(mut entry) = writing.next().await {
        // What goes wrong is told by `finish`.
        if entry.send(content.clone()).await.is_ok() {
            let _ = entry.whole(content.len() as u64).await;
        }
    }
    writing.finish("manifest").await
}

fn content() -> Bytes {
    (0..40_u32 << 18)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect::<Vec<u8>>()
        .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_survives_a_gateway_that_breaks_at_every_kind_of_call() {
    let house = House::open().await;
    for fault in [
        Fault::BeforeStoring,
        Fault::AnswerLost,
        Fault::InTheMiddleOfReading,
        Fault::WhileListing,
    ] {
        house.breaks_twice(fault);
        let repository = house.repositories().open(&own()).await.unwrap();
        let stored = back_up(&repository, &content()).await.unwrap();
        let reading = repository.read(stored.snapshot).await.unwrap();
        let read = reading.whole(&"orders".parse().unwrap()).await.unwrap();
        assert!(read == content(), "{fault:?}");
        assert_eq!(house.faults_left(), 0, "{fault:?} did not happen");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_at_once_and_nothing_is_stored() {
    let house = House::open().await;
    let repository = house.repositories().open(&own()).await.unwrap();
    house.refuses(Code::PermissionDenied);
    let refused = back_up(&repository, &content()).await.unwrap_err();
    assert!(!refused.again(), "{refused:?}");
    assert_eq!(house.refusals(), 1, "a refusal is no interruption");
    house.refuses_no_more();
    assert!(repository.snapshots().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_removes_nothing_and_writes_to_no_other() {
    let house = House::open().await;
    let repository = house.repositories().open(&own()).await.unwrap();
    let stored = back_up(&repository, &content()).await.unwrap();
    let forgot = repository.forget(&[stored.snapshot]).await;
    assert!(
        matches!(forgot, Err(RepositoryError::Storage { .. })),
        "{forgot:?}"
    );
    assert_eq!(repository.snapshots().await.unwrap().len(), 1);
    let read_only = Whose { job: 7, ..own() };
    let repository = house.repositories().open(&read_only).await.unwrap();
    let wrote = back_up(&repository, &content()).await;
    assert!(
        matches!(wrote, Err(RepositoryError::Storage { .. })),
        "{wrote:?}"
    );
    house.refuses(Code::PermissionDenied);
    let refused = house.repositories().open(&own()).await;
    assert!(
        matches!(refused, Err(OpenError::Gateway { .. })),
        "{refused:?}"
    );
}

/// The folder of web-1.
fn folder(server: &S3, options: &[(&str, &str)]) -> Bucket {
    let bucket = server.bucket(options);
    Bucket {
        url: format!("{}/web-1", bucket.url),
        ..bucket
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn straight_in_a_bucket_a_host_adds_and_does_nothing_else() {
    let server = S3::start();
    let house = House::in_bucket(&folder(&server, &[])).await;
    let repository = house.repositories().open(&own()).await.unwrap();
    assert_eq!(repository.location(), "s3://backups/holdfast/web-1");
    let stored = back_up(&repository, &content()).await.unwrap();
    let reading = repository.read(stored.snapshot).await.unwrap();
    let read = reading.whole(&"orders".parse().unwrap()).await.unwrap();
    assert!(read == content());
    assert_eq!(house.puts(), 0, "nothing came through the gateway");
    // The server would let it.
    let read_only = Whose { job: 7, ..own() };
    let reader = house.repositories().open(&read_only).await.unwrap();
    for refused in [
        repository.forget(&[stored.snapshot]).await,
        repository.add_password("another").await,
        back_up(&reader, &content()).await.map(drop),
    ] {
        let Err(RepositoryError::Storage { source, .. }) = &refused else {
            panic!("{refused:?}")
        };
        assert!(matches!(**source, BlobsError::Refused { .. }), "{source:?}");
    }
    assert_eq!(repository.snapshots().await.unwrap().len(), 1);
    assert_eq!(repository.passwords().await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_over_are_asked_for_anew_for_the_same_place() {
    let server = S3::start();
    let good = folder(&server, &[]);
    let over = folder(&server, &[("secret_access_key", "hunter2hunter2")]);
    let house = House::in_bucket(&good).await;
    house.hands_out([Some(over.clone()), Some(good.clone())]);
    let repository = house.repositories().open(&own()).await.unwrap();
    back_up(&repository, &content()).await.unwrap();
    assert_eq!(house.puts(), 0);
    // No others, none any more, or another place in the middle of a job: it fails, and goes no other way.
    let elsewhere = Bucket {
        url: format!("{}-too", good.url),
        ..good
    };
    for next in [Some(over.clone()), None, Some(elsewhere)] {
        house.hands_out([Some(over.clone()), next]);
        let refused = house.repositories().open(&own()).await.unwrap_err();
        let OpenError::Repository(RepositoryError::Storage { source, .. }) = &refused else {
            panic!("{refused:?}")
        };
        assert!(
            matches!(**source, BlobsError::Credentials { .. }),
            "{source:?}"
        );
        assert!(!refused.again());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn options_that_open_nothing_are_told_without_what_they_are() {
    let server = S3::start();
    let house = House::in_bucket(&folder(&server, &[])).await;
    let wrong = folder(&server, &[("acess_key", "hunter2hunter2")]);
    house.hands_out([Some(wrong)]);
    let refused = house.repositories().open(&own()).await.unwrap_err();
    assert!(matches!(refused, OpenError::Direct { .. }), "{refused:?}");
    let told = format!(
        "{refused:?} {}",
        holdfast_chassis::telemetry::Chain(&refused)
    );
    assert!(
        told.contains("acess_key") && !told.contains("hunter2"),
        "{told}"
    );
}
