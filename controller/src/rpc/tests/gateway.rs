//! The gateway: a host writes and reads its own repository, and every other try is refused and audited.

use bytes::Bytes;
use futures::StreamExt as _;
use holdfast_proto::wire::{
    self, gateway_client::GatewayClient, put_object_request::Message as Put,
};
use holdfast_repository::ObjectId;
use sha2::{Digest as _, Sha256};
use tonic::{Code, Status, transport::Channel};

use super::house::House;

type Gateway = GatewayClient<Channel>;

fn of(host: &str, job: u64) -> Option<wire::RepositoryRef> {
    let host = host.to_owned();
    Some(wire::RepositoryRef { host, job })
}

fn object(kind: wire::ObjectKind, id: &[u8]) -> Option<wire::ObjectName> {
    let (kind, id) = (kind.into(), id.to_vec());
    Some(wire::ObjectName { kind, id })
}

fn pack(content: &[u8]) -> Option<wire::ObjectName> {
    object(wire::ObjectKind::Pack, &Sha256::digest(content))
}

async fn opens(
    gateway: &mut Gateway,
    repository: Option<wire::RepositoryRef>,
) -> Result<Vec<u8>, Status> {
    Ok(opened(gateway, repository).await?.key)
}

async fn opened(
    gateway: &mut Gateway,
    repository: Option<wire::RepositoryRef>,
) -> Result<wire::OpenRepositoryResponse, Status> {
    let request = wire::OpenRepositoryRequest { repository };
    Ok(gateway.open_repository(request).await?.into_inner())
}

async fn puts(
    gateway: &mut Gateway,
    name: Option<wire::ObjectName>,
    size: usize,
    content: &[u8],
) -> Result<(), Status> {
    let open = wire::OpenObject {
        name,
        size: size as u64,
    };
    let message = |message| wire::PutObjectRequest {
        message: Some(message),
    };
    let data = Bytes::copy_from_slice(content);
    let messages = [message(Put::Open(open)), message(Put::Data(data))];
    gateway
        .put_object(futures::stream::iter(messages))
        .await
        .map(drop)
}

async fn gets(
    gateway: &mut Gateway,
    repository: Option<wire::RepositoryRef>,
    name: Option<wire::ObjectName>,
    range: Option<wire::ObjectRange>,
) -> Result<Vec<u8>, Status> {
    let request = wire::GetObjectRequest {
        repository,
        name,
        range,
    };
    let mut answer = gateway.get_object(request).await?.into_inner();
    let mut bytes = Vec::new();
    while let Some(piece) = answer.next().await {
        bytes.extend_from_slice(&piece?.data);
    }
    Ok(bytes)
}

async fn lists(
    gateway: &mut Gateway,
    repository: Option<wire::RepositoryRef>,
    kind: wire::ObjectKind,
) -> Result<usize, Status> {
    let request = wire::ListObjectsRequest {
        repository,
        kind: kind.into(),
    };
    let mut answer = gateway.list_objects(request).await?.into_inner();
    let mut listed = 0;
    while let Some(page) = answer.next().await {
        listed += page?.objects.len();
    }
    Ok(listed)
}

async fn is_refused(house: &House, refused: Status, code: Code, words: &str) {
    assert_eq!(refused.code(), code, "{refused}");
    assert!(refused.message().contains(words), "{refused}");
    let line = house.refused(words).await;
    assert_eq!(line.action, "rpc.refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_writes_its_own_repository_and_reads_it_back() {
    let house = House::open().await;
    let mut gateway = GatewayClient::new(house.host("web-1").await);
    let none = lists(&mut gateway, of("web-1", 0), wire::ObjectKind::Pack).await;
    assert_eq!(none.unwrap_err().code(), Code::NotFound);
    let key = opens(&mut gateway, of("web-1", 0)).await.unwrap();
    assert_eq!(opens(&mut gateway, of("web-1", 0)).await.unwrap(), key);
    // Two and a half messages.
    let content = vec![7; 5 << 19];
    let (halves, open) = (content.chunks(1 << 20), pack(&content));
    let open = wire::OpenObject {
        name: open,
        size: content.len() as u64,
    };
    let mut messages = vec![wire::PutObjectRequest {
        message: Some(Put::Open(open)),
    }];
    messages.extend(halves.map(|half| wire::PutObjectRequest {
        message: Some(Put::Data(Bytes::copy_from_slice(half))),
    }));
    for _ in 0..2 {
        let again = futures::stream::iter(messages.clone());
        gateway.put_object(again).await.unwrap();
    }
    assert_eq!(
        lists(&mut gateway, of("web-1", 0), wire::ObjectKind::Pack)
            .await
            .unwrap(),
        1
    );
    assert!(
        gets(&mut gateway, of("web-1", 0), pack(&content), None)
            .await
            .unwrap()
            == content
    );
    let range = Some(wire::ObjectRange {
        start: 5,
        length: 9,
    });
    assert_eq!(
        gets(&mut gateway, of("web-1", 0), pack(&content), range)
            .await
            .unwrap(),
        vec![7; 9]
    );
    let beyond = Some(wire::ObjectRange {
        start: 5,
        length: 5 << 19,
    });
    assert!(
        gets(&mut gateway, of("web-1", 0), pack(&content), beyond)
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_overwritten_forged_or_left_half() {
    let house = House::open().await;
    let mut gateway = GatewayClient::new(house.host("web-1").await);
    opens(&mut gateway, of("web-1", 0)).await.unwrap();
    let forged = puts(&mut gateway, pack(b"one"), 3, b"two")
        .await
        .unwrap_err();
    is_refused(&house, forged, Code::InvalidArgument, "another SHA-256").await;
    let half = puts(&mut gateway, pack(b"whole"), 5, b"who")
        .await
        .unwrap_err();
    assert_eq!(half.code(), Code::Unavailable, "{half}");
    let more = puts(&mut gateway, pack(b"whole"), 2, b"whole")
        .await
        .unwrap_err();
    assert_eq!(more.code(), Code::InvalidArgument, "{more}");
    let huge = puts(&mut gateway, pack(b"x"), 65 << 20, b"x")
        .await
        .unwrap_err();
    assert_eq!(huge.code(), Code::InvalidArgument, "{huge}");
    assert_eq!(
        lists(&mut gateway, of("web-1", 0), wire::ObjectKind::Pack)
            .await
            .unwrap(),
        0
    );
    // What lies there already was damaged: it is not put right over the old name.
    let id = ObjectId::of(&[Bytes::from_static(b"one")]).to_string();
    let folder = house
        .state_dir()
        .join("repositories/web-1/data")
        .join(&id[..2]);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(&id), b"0ne").unwrap();
    let over = puts(&mut gateway, pack(b"one"), 3, b"one")
        .await
        .unwrap_err();
    is_refused(&house, over, Code::AlreadyExists, "would overwrite").await;
    assert_eq!(std::fs::read(folder.join(&id)).unwrap(), b"0ne");
    for kind in [wire::ObjectKind::Config, wire::ObjectKind::Key] {
        let name = object(kind, &Sha256::digest(b"x"));
        let refused = puts(&mut gateway, name, 1, b"x").await.unwrap_err();
        is_refused(
            &house,
            refused,
            Code::PermissionDenied,
            "only the controller",
        )
        .await;
    }
    let keys = lists(&mut gateway, of("web-1", 0), wire::ObjectKind::Key)
        .await
        .unwrap_err();
    is_refused(&house, keys, Code::PermissionDenied, "only the controller").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_hosts_repository_is_read_for_a_job_that_runs_and_never_written() {
    let house = House::open().await;
    let (owner, stranger) = (house.host("web-1").await, house.host("web-2").await);
    let (mut owner, mut stranger) = (GatewayClient::new(owner), GatewayClient::new(stranger));
    let key = opens(&mut owner, of("web-1", 0)).await.unwrap();
    puts(&mut owner, pack(b"secret"), 6, b"secret")
        .await
        .unwrap();
    let job = house.a_job().await;
    for asked in [0, job, job + 1] {
        let words = if asked == 0 {
            "without a job"
        } else {
            "does not let it"
        };
        let all = [
            opens(&mut stranger, of("web-1", asked)).await.map(drop),
            lists(&mut stranger, of("web-1", asked), wire::ObjectKind::Pack)
                .await
                .map(drop),
            gets(&mut stranger, of("web-1", asked), pack(b"secret"), None)
                .await
                .map(drop),
        ];
        for refused in all {
            is_refused(&house, refused.unwrap_err(), Code::PermissionDenied, words).await;
        }
    }
    let (reader, repository) = ("web-2".parse().unwrap(), "web-1".parse().unwrap());
    house
        .catalog
        .let_read(job, &reader, &repository)
        .await
        .unwrap();
    assert_eq!(opens(&mut stranger, of("web-1", job)).await.unwrap(), key);
    let read = gets(&mut stranger, of("web-1", job), pack(b"secret"), None).await;
    assert_eq!(read.unwrap(), b"secret");
    // Writing has no way to name another's repository: it went to the writer's own, which is not made yet.
    let own = puts(&mut stranger, pack(b"mine"), 4, b"mine")
        .await
        .unwrap_err();
    assert_eq!(own.code(), Code::NotFound, "{own}");
    assert_eq!(
        lists(&mut owner, of("web-1", 0), wire::ObjectKind::Pack)
            .await
            .unwrap(),
        1
    );
    house.end_job(job).await;
    let over = gets(&mut stranger, of("web-1", job), pack(b"secret"), None)
        .await
        .unwrap_err();
    is_refused(&house, over, Code::PermissionDenied, "is over").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_handed_out_to_a_host_for_what_is_its_own() {
    let house = House::handing_out().await;
    let (owner, other) = (house.host("web-1").await, house.host("web-2").await);
    let (mut owner, mut other) = (GatewayClient::new(owner), GatewayClient::new(other));
    let write = |host: &str, text: &str| {
        let path = house.state_dir().join(format!("{host}.toml"));
        holdfast_chassis::identity::write_private(&path, text.as_bytes()).unwrap();
    };
    // Without a file of its own, a host goes through the controller.
    let answer = opened(&mut owner, of("web-1", 0)).await.unwrap();
    assert_eq!(answer.direct, None);
    let good = "access_key_id = \"AK\"\nsecret_access_key = \"web-1's\"\n";
    write("web-1", good);
    let answer = opened(&mut owner, of("web-1", 0)).await.unwrap();
    let shown = format!("{answer:?} {:?}", answer.direct);
    assert!(!shown.contains("web-1's"), "{shown}");
    let direct = answer.direct.unwrap();
    assert_eq!(direct.url, "s3://backups/holdfast/web-1");
    let mut options: Vec<_> = direct.options.values().map(String::as_str).collect();
    options.sort_unstable();
    assert_eq!(options, ["AK", "web-1's"]);
    // The repository was made by the controller all the same.
    let made = house.state_dir().join("repositories/web-1");
    assert!(made.join("config").exists() && made.join("keys").exists());
    // Who reads it for a job reads it through the controller, though it has a file itself.
    write("web-2", &good.replace("web-1", "web-2"));
    let job = house.a_job().await;
    let (reader, repository) = ("web-2".parse().unwrap(), "web-1".parse().unwrap());
    house
        .catalog
        .let_read(job, &reader, &repository)
        .await
        .unwrap();
    let read = opened(&mut other, of("web-1", job)).await.unwrap();
    assert_eq!(read.direct, None);
    assert_eq!(read.key, answer.key);
    // A file that is there and wrong is no reason to go another way.
    for (wrong, words) in [
        ("secret_access_key: x", "web-1.toml: line 1"),
        ("", "web-1.toml holds no credentials for web-1"),
        (
            "secret_access_key = \"the controller's\"",
            "secret_access_key is the controller's own",
        ),
    ] {
        write("web-1", wrong);
        let refused = opened(&mut owner, of("web-1", 0)).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert!(refused.message().contains(words), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_have_no_business_here() {
    let house = House::open().await;
    let channel = house
        .operator_channel("ann", holdfast_chassis::identity::Role::Admin)
        .await;
    let refused = opens(&mut GatewayClient::new(channel), of("web-1", 0))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
}
