//! Streams from agent to agent through the controller: the whole way, and who is kept out of it.

use std::time::Duration;

use futures::StreamExt;
use holdfast_proto::{
    image::ProofLevel,
    task::Selection,
    wire::{self, agent_link_client::AgentLinkClient, relay_receive_request, send_request},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, transport::Channel};

use super::house::House;
use crate::job::CopyDatabase;

/// As agents have it.
const LARGEST_MESSAGE: usize = 64 << 20;

/// The grant of a copy from web-1 to web-2.
async fn grant(house: &House) -> Vec<u8> {
    let copy = CopyDatabase {
        source: "web-1/shop-db/shop".parse().unwrap(),
        target: "web-2/shop-db/test".parse().unwrap(),
        replace: false,
        keep: Duration::from_hours(24),
        proof: ProofLevel::Full,
        dry_run: false,
        selection: Selection::default(),
        jobs: 0,
        bandwidth: 0,
    };
    let job = house.services.jobs.submit_copy(copy, "operator/alice", "");
    let job = job.await.unwrap();
    house.catalog.transfer_grant(job, 1).await.unwrap()
}

fn opening(grant: &[u8]) -> wire::SendRequest {
    let open = wire::OpenStream {
        grant: grant.to_vec(),
        ..wire::OpenStream::default()
    };
    wire::SendRequest {
        message: Some(send_request::Message::Open(open)),
    }
}

fn waiting(grant: &[u8]) -> wire::RelayReceiveRequest {
    let grant = grant.to_vec();
    receive(relay_receive_request::Message::Wait(wire::RelayWait {
        grant,
    }))
}

async fn sends(channel: &Channel, grant: &[u8]) -> Status {
    let mut link = AgentLinkClient::new(channel.clone());
    let stream = futures::stream::iter([opening(grant)]);
    link.relay_send(stream).await.unwrap_err()
}

async fn receives(channel: &Channel, grant: &[u8]) -> Status {
    let mut link = AgentLinkClient::new(channel.clone());
    let stream = futures::stream::iter([waiting(grant)]);
    link.relay_receive(stream).await.unwrap_err()
}

#[tokio::test]
async fn a_grant_is_good_for_the_two_hosts_that_it_was_given_to() {
    let house = House::open().await;
    let (source, target) = (house.host("web-1").await, house.host("web-2").await);
    let stranger = house.host("web-3").await;
    let grant = grant(&house).await;
    let cases = [
        (
            "web-3",
            "RelaySend",
            "sender",
            sends(&stranger, &grant).await,
        ),
        (
            "web-3",
            "RelayReceive",
            "receiver",
            receives(&stranger, &grant).await,
        ),
        // Each end is that end only.
        ("web-2", "RelaySend", "sender", sends(&target, &grant).await),
        (
            "web-1",
            "RelayReceive",
            "receiver",
            receives(&source, &grant).await,
        ),
    ];
    for (host, call, end, status) in cases {
        let why = format!(
            "{host} showed the grant of a transfer from web-1 to web-2, in which it is not the {end}"
        );
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
        assert_eq!(status.message(), why);
        let line = house.refused(&why).await;
        assert_eq!(
            (line.actor, line.action.as_str(), line.subject),
            (
                format!("host/{host}"),
                "rpc.refused",
                format!("AgentLink/{call}")
            )
        );
    }
    let status = sends(&source, &[7; 32]).await;
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    let line = house.refused("that of no transfer that runs").await;
    assert_eq!(line.actor, "host/web-1");
}

/// The plan of an image with very many tables travels in one message.
#[tokio::test]
async fn an_opening_that_is_larger_than_the_usual_limit_goes_through() {
    let house = House::open().await;
    let (source, target) = (house.host("web-1").await, house.host("web-2").await);
    let grant = grant(&house).await;
    let (answer, answers) = mpsc::channel(2);
    answer.send(waiting(&grant)).await.unwrap();
    let mut receiver = AgentLinkClient::new(target).max_decoding_message_size(LARGEST_MESSAGE);
    let received = receiver.relay_receive(ReceiverStream::new(answers)).await;
    let mut received = received.unwrap().into_inner();

    let relations: Vec<_> = (0..50_000)
        .map(|id| wire::RelationPlan {
            id,
            schema: "public".to_owned(),
            name: format!("{id:0>100}"),
            ..wire::RelationPlan::default()
        })
        .collect();
    let names: usize = relations.iter().map(|plan| plan.name.len()).sum();
    assert!(names > 4 << 20);
    let mut open = opening(&grant);
    if let Some(send_request::Message::Open(open)) = &mut open.message {
        let schema = wire::SchemaStream {
            relations,
            ..wire::SchemaStream::default()
        };
        open.stream = Some(wire::open_stream::Stream::Schema(schema));
    }
    let close = wire::SendRequest {
        message: Some(send_request::Message::Close(wire::CloseStream::default())),
    };
    let mut sender = AgentLinkClient::new(source).max_encoding_message_size(LARGEST_MESSAGE);
    let stream = futures::stream::iter([open.clone(), close]);
    let sent = tokio::spawn(async move { sender.relay_send(stream).await });
    let arrived = tokio::time::timeout(Duration::from_secs(20), received.next());
    let arrived = arrived.await.expect("the opening got lost");
    let arrived = arrived.unwrap().unwrap();
    assert!(arrived.request == Some(open), "the plan is another");
    let receipt = wire::SendResponse::default();
    let receipt = relay_receive_request::Message::Receipt(receipt);
    answer.send(receive(receipt)).await.unwrap();
    sent.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stream_goes_through_the_controller_to_the_agent_that_waits_for_it() {
    let house = House::open().await;
    let (source, target) = (house.host("web-1").await, house.host("web-2").await);
    let grant = grant(&house).await;
    let (answer, answers) = mpsc::channel(4);
    let wait = relay_receive_request::Message::Wait(wire::RelayWait {
        grant: grant.clone(),
    });
    answer.send(receive(wait)).await.unwrap();
    let mut receiver = AgentLinkClient::new(target);
    let received = receiver.relay_receive(ReceiverStream::new(answers)).await;
    let mut received = received.unwrap().into_inner();

    let rows: Vec<_> = (0..50).map(|n| vec![n; 1 << 20]).collect();
    let open = send_request::Message::Open(wire::OpenStream {
        grant,
        ..wire::OpenStream::default()
    });
    let data = rows.clone().into_iter();
    let data = data.map(|bytes| send_request::Message::Data(bytes.into()));
    let close = send_request::Message::Close(wire::CloseStream::default());
    let all = std::iter::once(open).chain(data).chain([close]);
    let all = all.map(|message| wire::SendRequest {
        message: Some(message),
    });
    let mut sender = AgentLinkClient::new(source);
    let sent = tokio::spawn(async move { sender.relay_send(futures::stream::iter(all)).await });
    let mut arrived = Vec::new();
    loop {
        let message = received.next().await.unwrap().unwrap();
        assert_eq!(message.sender, "web-1");
        match message.request.unwrap().message.unwrap() {
            send_request::Message::Open(_) => {}
            send_request::Message::Data(bytes) => arrived.push(bytes.to_vec()),
            send_request::Message::Close(_) => break,
        }
    }
    assert!(arrived == rows, "the bytes are others");
    let receipt = relay_receive_request::Message::Receipt(wire::SendResponse {
        rows: 50,
        ..wire::SendResponse::default()
    });
    answer.send(receive(receipt)).await.unwrap();
    assert_eq!(sent.await.unwrap().unwrap().into_inner().rows, 50);
    assert!(received.next().await.is_none());
}

fn receive(message: relay_receive_request::Message) -> wire::RelayReceiveRequest {
    wire::RelayReceiveRequest {
        message: Some(message),
    }
}
