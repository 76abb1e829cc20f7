//! Pairs played by the tests: each call a channel of messages.

use bytes::Bytes;
use futures::StreamExt;
use holdfast_proto::wire::{
    CloseStream, OpenStream, RelayFailure, RelayWait, relay_receive_request, send_request,
};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use super::*;

const GRANT: [u8; 32] = [7; 32];

struct Call<T>(mpsc::Sender<Result<T, Status>>);

impl<T: Send + 'static> Call<T> {
    fn new() -> (Self, Inbound<T>) {
        let (sender, receiver) = mpsc::channel(64);
        (Self(sender), ReceiverStream::new(receiver).boxed())
    }

    async fn say(&self, message: T) {
        self.0.send(Ok(message)).await.unwrap();
    }
}

fn host(name: &str) -> HostName {
    name.parse().unwrap()
}

fn open(grant: &[u8]) -> SendRequest {
    request(send_request::Message::Open(OpenStream {
        grant: grant.to_vec(),
        ..OpenStream::default()
    }))
}

fn data(byte: u8) -> SendRequest {
    request(send_request::Message::Data(Bytes::from(vec![byte; 4])))
}

fn close() -> SendRequest {
    request(send_request::Message::Close(CloseStream::default()))
}

fn request(message: send_request::Message) -> SendRequest {
    SendRequest {
        message: Some(message),
    }
}

fn wait(grant: &[u8]) -> RelayReceiveRequest {
    RelayReceiveRequest {
        message: Some(relay_receive_request::Message::Wait(RelayWait {
            grant: grant.to_vec(),
        })),
    }
}

fn receipt(rows: u64) -> RelayReceiveRequest {
    RelayReceiveRequest {
        message: Some(relay_receive_request::Message::Receipt(SendResponse {
            rows,
            ..SendResponse::default()
        })),
    }
}

struct ReceiverEnd {
    call: Call<RelayReceiveRequest>,
    hears: BoxStream<'static, Result<RelayReceiveResponse, Status>>,
}

impl ReceiverEnd {
    async fn waits(relay: &Relay) -> Self {
        let (call, inbound) = Call::new();
        call.say(wait(&GRANT)).await;
        let hears = relay.receive(host("web-2"), inbound).await.unwrap();
        Self { call, hears }
    }

    async fn hears(&mut self) -> Result<RelayReceiveResponse, Status> {
        let next = tokio::time::timeout(Duration::from_secs(5), self.hears.next());
        next.await.expect("heard nothing").expect("the call ended")
    }
}

fn sends(relay: &Relay) -> (Call<SendRequest>, JoinHandle<Result<SendResponse, Status>>) {
    let (call, inbound) = Call::new();
    let relay = relay.clone();
    let send = tokio::spawn(async move { relay.send(&host("web-1"), inbound).await });
    (call, send)
}

#[tokio::test]
async fn a_stream_arrives_in_order_with_the_senders_name_and_the_receipt_goes_back() {
    let relay = Relay::default();
    let mut receiver = ReceiverEnd::waits(&relay).await;
    let (sender, send) = sends(&relay);
    let said = [open(&GRANT), data(1), data(2), close()];
    for message in &said {
        sender.say(message.clone()).await;
    }
    for message in said {
        let heard = receiver.hears().await.unwrap();
        assert_eq!(heard.sender, "web-1");
        assert_eq!(heard.request, Some(message));
    }
    receiver.call.say(receipt(9)).await;
    assert_eq!(send.await.unwrap().unwrap().rows, 9);
    assert!(receiver.hears.next().await.is_none(), "the call ends well");
    assert_eq!(relay.waiting(), 0);
}

#[tokio::test]
async fn a_sender_waits_for_its_receiver() {
    let relay = Relay::default();
    let (sender, send) = sends(&relay);
    sender.say(open(&GRANT)).await;
    sender.say(close()).await;
    let mut receiver = ReceiverEnd::waits(&relay).await;
    assert_eq!(receiver.hears().await.unwrap().request, Some(open(&GRANT)));
    receiver.call.say(receipt(1)).await;
    assert_eq!(send.await.unwrap().unwrap().rows, 1);
}

#[tokio::test]
async fn a_sender_without_a_receiver_is_told_so() {
    let pairing = Duration::from_millis(50);
    let relay = Relay::waiting_for(pairing);
    let _other = ReceiverEnd::waits(&relay).await;
    let (sender, send) = sends(&relay);
    let began = Instant::now();
    sender.say(open(&[8; 32])).await;
    let status = send.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(began.elapsed() >= pairing);
    assert_eq!(relay.waiting(), 1, "another grant's receiver still waits");
}

#[tokio::test]
async fn a_slow_receiver_slows_the_sender_down() {
    let relay = Relay::default();
    let mut receiver = ReceiverEnd::waits(&relay).await;
    let (call, inbound) = Call::new();
    let taken = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = taken.clone();
    let counted = inbound
        .inspect(move |_| {
            counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        })
        .boxed();
    let sending = relay.clone();
    let send = tokio::spawn(async move { sending.send(&host("web-1"), counted).await });
    call.say(open(&GRANT)).await;
    for byte in 0..40 {
        call.say(data(byte)).await;
    }
    // With nobody reading, everything that can move has moved after these turns.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(taken.load(std::sync::atomic::Ordering::SeqCst), 2);
    for _ in 0..41 {
        receiver.hears().await.unwrap();
    }
    call.say(close()).await;
    receiver.hears().await.unwrap();
    receiver.call.say(receipt(40)).await;
    assert_eq!(send.await.unwrap().unwrap().rows, 40);
}

#[tokio::test]
async fn the_receivers_failure_reaches_the_sender_at_once() {
    let relay = Relay::default();
    let mut receiver = ReceiverEnd::waits(&relay).await;
    let (sender, send) = sends(&relay);
    sender.say(open(&GRANT)).await;
    receiver.hears().await.unwrap();
    let failure = RelayFailure {
        code: Code::PermissionDenied as i32,
        message: "not the sender that was expected".to_owned(),
    };
    let message = Some(relay_receive_request::Message::Failure(failure));
    receiver.call.say(RelayReceiveRequest { message }).await;
    let status = send.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(status.message(), "not the sender that was expected");
}

#[tokio::test]
async fn the_receivers_death_ends_the_sender() {
    let relay = Relay::default();
    let mut receiver = ReceiverEnd::waits(&relay).await;
    let (sender, send) = sends(&relay);
    sender.say(open(&GRANT)).await;
    receiver.hears().await.unwrap();
    drop(receiver);
    let status = send.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("receiver on web-2 went away"));
}

#[tokio::test]
async fn the_senders_death_ends_the_receiver() {
    let relay = Relay::default();
    let mut receiver = ReceiverEnd::waits(&relay).await;
    let (sender, send) = sends(&relay);
    sender.say(open(&GRANT)).await;
    receiver.hears().await.unwrap();
    send.abort();
    let status = receiver.hears().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("sender went away"));
}

#[tokio::test]
async fn a_stream_that_ends_without_its_close_is_no_whole_stream() {
    let relay = Relay::default();
    let mut receiver = ReceiverEnd::waits(&relay).await;
    let (sender, send) = sends(&relay);
    sender.say(open(&GRANT)).await;
    drop(sender);
    receiver.hears().await.unwrap();
    assert_eq!(
        receiver.hears().await.unwrap_err().code(),
        Code::Unavailable
    );
    assert_eq!(
        send.await.unwrap().unwrap_err().code(),
        Code::InvalidArgument
    );
}

#[tokio::test]
async fn a_receiver_that_left_is_passed_over() {
    let relay = Relay::default();
    let gone = ReceiverEnd::waits(&relay).await;
    drop(gone);
    let mut there = ReceiverEnd::waits(&relay).await;
    let (sender, _send) = sends(&relay);
    sender.say(open(&GRANT)).await;
    assert_eq!(there.hears().await.unwrap().request, Some(open(&GRANT)));
}

#[tokio::test]
async fn a_host_may_not_fill_the_table() {
    let relay = Relay::default();
    let mut ends = Vec::new();
    for _ in 0..MOST_WAITING {
        ends.push(ReceiverEnd::waits(&relay).await);
    }
    let (call, inbound) = Call::new();
    call.say(wait(&GRANT)).await;
    let refused = relay.receive(host("web-2"), inbound).await;
    assert_eq!(refused.err().unwrap().code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_short_grant_is_no_secret() {
    let relay = Relay::default();
    let (call, inbound) = Call::new();
    call.say(wait(b"guess")).await;
    let refused = relay.receive(host("web-2"), inbound).await;
    assert_eq!(refused.err().unwrap().code(), Code::InvalidArgument);
}
