//! What is secret is not printed, on the wire or in the domain, however deep it sits.

use holdfast_proto::{
    image::{ImageStream, OpenStream, StreamMessage},
    link::{ControllerMessage, StartTask},
    task::{DatabaseTarget, ReceiveImage, SendImage, TaskSpec},
    wire,
};

const SECRET: &str = "tell-nobody";

fn assert_silent(printed: &str) {
    let as_bytes = format!("{:?}", SECRET.as_bytes());
    let bare = as_bytes.trim_matches(['[', ']']);
    assert!(!printed.contains(SECRET), "{printed}");
    assert!(!printed.contains(bare), "{printed}");
}

fn target() -> DatabaseTarget {
    DatabaseTarget {
        instance: "shop-db".to_owned(),
        database: "shop".to_owned(),
    }
}

fn start(spec: TaskSpec) -> ControllerMessage {
    ControllerMessage::StartTask(StartTask {
        task_id: "7/transfer.send/do/1".to_owned(),
        job: 7,
        epoch: 1,
        spec,
        traceparent: String::new(),
    })
}

#[test]
fn grants_are_not_printed() {
    let grant = SECRET.as_bytes().to_vec();
    let send = SendImage {
        source: target(),
        selection: Default::default(),
        peer_host: "web-2".to_owned(),
        peer_addresses: Vec::new(),
        grant: grant.clone(),
        jobs: 2,
        bandwidth: 0,
        target_version_num: 170_000,
        target_extensions: Vec::new(),
        no_tablespaces: false,
    };
    let receive = ReceiveImage {
        staging: target(),
        peer_host: "web-1".to_owned(),
        grant: grant.clone(),
        jobs: 2,
        proof: holdfast_proto::image::ProofLevel::Full,
        properties: Default::default(),
    };
    for spec in [TaskSpec::SendImage(send), TaskSpec::ReceiveImage(receive)] {
        let message = start(spec);
        assert_silent(&format!("{message:?}"));
        assert_silent(&format!("{:?}", wire::SessionResponse::from(message)));
    }

    let open = StreamMessage::Open(OpenStream {
        grant: grant.clone(),
        sender_run: "a".to_owned(),
        receiver_run: "b".to_owned(),
        stream: ImageStream::Begin { estimated_bytes: 1 },
    });
    assert_silent(&format!("{open:?}"));
    assert_silent(&format!("{:?}", wire::SendRequest::from(open)));
    assert_silent(&format!("{:?}", wire::RelayWait { grant }));
}

#[test]
fn tokens_are_not_printed() {
    let secret = || format!("holdfast-agent join --token {SECRET}");
    let enrol = wire::EnrolRequest {
        token: secret(),
        ..Default::default()
    };
    let host = wire::EnrolHostResponse {
        command: secret(),
        ..Default::default()
    };
    let operator = wire::InviteOperatorResponse {
        command: secret(),
        ..Default::default()
    };
    assert_silent(&format!("{enrol:?} {host:?} {operator:?}"));
}
