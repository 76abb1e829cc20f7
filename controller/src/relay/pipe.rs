//! One pair of calls: messages one way, the receipt the other, and either side's death told to the other.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures::{StreamExt, stream::BoxStream};
use holdfast_proto::{
    names::HostName,
    wire::{
        RelayReceiveRequest, RelayReceiveResponse, SendRequest, SendResponse,
        relay_receive_request::Message, send_request,
    },
};
use tokio::sync::{mpsc, oneshot};
use tonic::{Code, Status};

use super::Inbound;

/// Messages held for a pair at most.
const IN_FLIGHT: usize = 2;

type Receipt = Result<SendResponse, Status>;

/// A receiver's call that waits for a stream.
#[derive(Debug)]
pub struct Receiver {
    host: HostName,
    data: mpsc::Sender<Result<RelayReceiveResponse, Status>>,
    receipt: oneshot::Receiver<Receipt>,
    /// The receiver has answered: its call may end without a word.
    settled: Arc<AtomicBool>,
}

/// How far the sender's stream has been handed on.
#[derive(Debug)]
struct Outgoing {
    /// The first message, already taken from the sender.
    open: Option<SendRequest>,
    /// The last one has gone out.
    whole: bool,
}

impl Outgoing {
    fn new(open: SendRequest) -> Self {
        Self {
            open: Some(open),
            whole: false,
        }
    }
}

/// The controller's ends of a receiver's call, and what the call sends back to the receiver.
pub fn receiver(
    host: HostName,
    inbound: Inbound<RelayReceiveRequest>,
) -> (
    Receiver,
    BoxStream<'static, Result<RelayReceiveResponse, Status>>,
) {
    let (data, outbound) = mpsc::channel(IN_FLIGHT);
    let (answer, receipt) = oneshot::channel();
    let settled = Arc::new(AtomicBool::new(false));
    tokio::spawn(hear_answer(inbound, answer));
    let receiver = Receiver {
        host,
        data,
        receipt,
        settled: settled.clone(),
    };
    (receiver, told(outbound, settled))
}

impl Receiver {
    pub fn host(&self) -> &HostName {
        &self.host
    }

    /// Its call is still open.
    pub fn is_there(&self) -> bool {
        !self.data.is_closed()
    }

    /// Hands the sender's stream on until the receiver answers.
    ///
    /// # Errors
    /// The receiver's failure; `Unavailable` when it went away; the sender's own when that broke.
    pub async fn serve(
        mut self,
        sender: &HostName,
        open: SendRequest,
        mut inbound: Inbound<SendRequest>,
    ) -> Receipt {
        let mut stream = Outgoing::new(open);
        loop {
            // The receiver may answer at any time, also before it has heard everything.
            tokio::select! {
                biased;
                answer = &mut self.receipt => return self.settle(answer),
                moved = hand_on(&self.data, sender, &mut stream, &mut inbound) => {
                    if !moved? {
                        let answer = (&mut self.receipt).await;
                        return self.settle(answer);
                    }
                }
            }
        }
    }

    fn settle(&self, answer: Result<Receipt, oneshot::error::RecvError>) -> Receipt {
        self.settled.store(true, Ordering::Release);
        answer.unwrap_or_else(|_| {
            Err(Status::unavailable(format!(
                "the receiver on {} went away in the middle of the stream",
                self.host
            )))
        })
    }
}

/// One message on to the receiver. `false`: the stream is whole, or the receiver's call is over.
async fn hand_on(
    data: &mpsc::Sender<Result<RelayReceiveResponse, Status>>,
    sender: &HostName,
    stream: &mut Outgoing,
    inbound: &mut Inbound<SendRequest>,
) -> Result<bool, Status> {
    if stream.whole {
        return Ok(false);
    }
    // Room first: a message that was taken from the sender is never lost to the select above.
    let Ok(room) = data.reserve().await else {
        return Ok(false);
    };
    let request = match stream.open.take() {
        Some(open) => open,
        None => match inbound.next().await {
            Some(request) => request?,
            None => {
                return Err(Status::invalid_argument(
                    "the stream ended without its close",
                ));
            }
        },
    };
    stream.whole = matches!(request.message, Some(send_request::Message::Close(_)));
    room.send(Ok(RelayReceiveResponse {
        sender: sender.to_string(),
        request: Some(request),
    }));
    Ok(true)
}

/// Until the receiver answers or its call ends; dropping `answer` tells the sender that it went away.
async fn hear_answer(
    mut inbound: Inbound<RelayReceiveRequest>,
    mut answer: oneshot::Sender<Receipt>,
) {
    let said = tokio::select! {
        said = inbound.next() => said,
        // The sender went away: nobody wants to know.
        () = answer.closed() => None,
    };
    if let Some(Ok(request)) = said {
        // Fails only when the sender went away meanwhile.
        let _ = answer.send(receipt(request));
    }
}

/// What the receiver hears. A pair that ends before the receiver answered says why.
fn told(
    outbound: mpsc::Receiver<Result<RelayReceiveResponse, Status>>,
    settled: Arc<AtomicBool>,
) -> BoxStream<'static, Result<RelayReceiveResponse, Status>> {
    let steps = futures::stream::unfold(Some(outbound), move |outbound| {
        let settled = settled.clone();
        async move {
            let mut outbound = outbound?;
            match outbound.recv().await {
                Some(message) => Some((message, Some(outbound))),
                None if settled.load(Ordering::Acquire) => None,
                None => Some((Err(sender_gone()), None)),
            }
        }
    });
    steps.boxed()
}

fn sender_gone() -> Status {
    Status::unavailable("the sender went away in the middle of the stream")
}

/// What the receiver's call waits for.
///
/// # Errors
/// `InvalidArgument` when the message is another one.
pub fn awaited_grant(request: &RelayReceiveRequest) -> Result<&[u8], Status> {
    match &request.message {
        Some(Message::Wait(wait)) => Ok(&wait.grant),
        _ => Err(Status::invalid_argument(
            "a relay call begins with what it waits for",
        )),
    }
}

/// What the sender's call shows.
///
/// # Errors
/// `InvalidArgument` when the message is another one.
pub fn presented_grant(request: &SendRequest) -> Result<&[u8], Status> {
    match &request.message {
        Some(send_request::Message::Open(open)) => Ok(&open.grant),
        _ => Err(Status::invalid_argument("a stream begins with its opening")),
    }
}

fn receipt(request: RelayReceiveRequest) -> Receipt {
    match request.message {
        Some(Message::Receipt(receipt)) => Ok(receipt),
        Some(Message::Failure(failure)) => {
            Err(Status::new(Code::from_i32(failure.code), failure.message))
        }
        Some(Message::Wait(_)) | None => Err(Status::internal(
            "the receiver answered with neither a receipt nor a failure",
        )),
    }
}
