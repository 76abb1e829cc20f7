//! Who may bring an image to an agent: only the host that the job names, with the job's grant.

use std::{net::TcpListener, sync::Arc};

use crate::support::Server;
use chrono::{TimeDelta, Utc};
use holdfast_agent::{
    engine::postgres::{
        meter::Meter,
        receive::{Receiver, Target},
    },
    peer::{Grants, Peers, Refusals},
};
use holdfast_chassis::{
    clock::SystemClock,
    identity::{Authority, Credentials, Identity, NewKey, Role, Validity, host_server_name},
    tls::{Roots, RotatingIdentity, client_channel},
};
use holdfast_proto::{
    image::{ImageStream, OpenStream, ProofLevel, StreamMessage},
    task::{DatabaseProperties, DatabaseTarget, ReceiveImage},
    wire::peer_client::PeerClient,
};
use tokio_util::sync::CancellationToken;
use tonic::Code;

const GRANT: [u8; 32] = [7; 32];

fn member(authority: &Authority, identity: &Identity) -> RotatingIdentity {
    let key = NewKey::make().expect("a key");
    let validity = Validity::starting(Utc::now(), TimeDelta::days(1));
    let request = key.request().expect("a request");
    let issued = authority.issue(&request, identity, validity);
    let credentials = Credentials::from_answer(&key, &issued.expect("issued").1);
    RotatingIdentity::new(credentials.expect("they belong together"))
}

fn host(authority: &Authority, name: &str) -> RotatingIdentity {
    member(authority, &Identity::Host(name.to_owned()))
}

/// Asks the agent on web-2 to take an image: nothing, or the refusal.
async fn knock(
    address: &str,
    who: RotatingIdentity,
    roots: &Roots,
    grant: &[u8],
) -> Result<(), (Option<Code>, String)> {
    let channel = client_channel(address, &host_server_name("web-2"), &who, roots)
        .await
        .map_err(|error| (None, error.to_string()))?;
    let open = StreamMessage::Open(OpenStream {
        grant: grant.to_vec(),
        sender_run: "run".to_owned(),
        receiver_run: String::new(),
        stream: ImageStream::Begin { estimated_bytes: 0 },
    });
    let messages = tokio_stream::once(open.into());
    match PeerClient::new(channel).send(messages).await {
        Ok(_) => Ok(()),
        Err(status) => Err((Some(status.code()), status.message().to_owned())),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_taken_only_from_its_own_sender() {
    let server = Server::start(15);
    let state = tempfile::tempdir().unwrap();
    let context = server.context(state.path());
    let receiver = Receiver::new(
        ReceiveImage {
            staging: DatabaseTarget {
                instance: "shop-db".to_owned(),
                database: "postgres".to_owned(),
            },
            peer_host: "web-1".to_owned(),
            grant: GRANT.to_vec(),
            jobs: 1,
            proof: ProofLevel::Full,
            properties: DatabaseProperties::default(),
        },
        Target {
            located: context.instances.locate("shop-db").unwrap(),
            containers: context.containers.clone(),
            database: "postgres".to_owned(),
            version_num: 150_000,
            application: "holdfast receive".to_owned(),
            permits: 1,
            free_memory: 1 << 30,
            meter: Arc::new(Meter::default()),
            partial: false,
        },
    );

    let (authority, _) = Authority::make(Utc::now()).unwrap();
    let roots = Roots::from_pem(authority.certificate_pem()).unwrap();
    let listen = |name: &'static str| {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let address = address.unwrap();
        let peers = Peers {
            identity: host(&authority, name),
            roots: roots.clone(),
            controllers: Vec::new().into(),
            grants: Grants::default(),
            refusals: Refusals::default(),
        };
        (address, peers)
    };
    let (at_two, two) = listen("web-2");
    let (at_three, three) = listen("web-3");
    let refusals = two.refusals.clone();
    let stop = CancellationToken::new();
    let receiving = two.receive(&GRANT, 0, receiver.reception());
    for (address, peers) in [(at_two, two), (at_three, three)] {
        let serving = peers.serve(address, Arc::new(SystemClock), stop.clone());
        tokio::spawn(async move { serving.await.unwrap() });
        while std::net::TcpStream::connect(address).is_err() {
            tokio::task::yield_now().await;
        }
    }
    let at_two = at_two.to_string();
    let refused = async |who, grant: &[u8]| knock(&at_two, who, &roots, grant).await.unwrap_err();

    let (code, said) = refused(host(&authority, "web-3"), &GRANT).await;
    assert_eq!(code, Some(Code::PermissionDenied), "{said}");
    assert!(said.contains("from web-1, not from web-3"), "{said}");
    let told = refusals.next().await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].actor.as_str(), told[0].times), ("host/web-3", 1));
    assert!(told[0].reason.contains("not from web-3"), "{told:?}");

    let (code, said) = refused(host(&authority, "web-1"), &[8; 32]).await;
    assert_eq!(code, Some(Code::NotFound), "{said}");

    let operator = Identity::Operator {
        name: "alice".to_owned(),
        role: Role::Admin,
    };
    let (code, said) = refused(member(&authority, &operator), &GRANT).await;
    assert_eq!(code, Some(Code::PermissionDenied), "{said}");
    assert!(said.contains("alice"), "{said}");

    // Of another fleet, with the right name.
    let (foreign, _) = Authority::make(Utc::now()).unwrap();
    let (code, said) = refused(host(&foreign, "web-1"), &GRANT).await;
    assert_ne!(code, Some(Code::PermissionDenied), "{said}");

    // The rest is told together, and a grant that is not here is no line.
    let told = refusals.next().await;
    let actors: Vec<_> = told.iter().map(|refused| refused.actor.as_str()).collect();
    assert_eq!(actors, ["127.0.0.1", "operator/alice"], "{told:?}");

    // The sender looks too: a host that answers in another's place gets no byte.
    let (at_three, sender) = (at_three.to_string(), host(&authority, "web-1"));
    let misled = knock(&at_three, sender, &roots, &GRANT);
    let (code, said) = misled.await.unwrap_err();
    assert_eq!(code, None, "{said}");
    assert!(said.contains("web-3"), "{said}");

    knock(&at_two, host(&authority, "web-1"), &roots, &GRANT)
        .await
        .expect("the one sender is let in");
    drop(receiving);
    let (code, said) = refused(host(&authority, "web-1"), &GRANT).await;
    assert_eq!(
        code,
        Some(Code::NotFound),
        "a grant ends with its job: {said}"
    );
    stop.cancel();
}
