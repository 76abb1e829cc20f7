//! Calls that last end when the controller stops: a graceful stop would wait for them.

use futures::{
    StreamExt,
    stream::{BoxStream, unfold},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;

type Answer<T> = BoxStream<'static, Result<T, Status>>;

/// The stream as it is; when the controller stops before its end, that is its last word.
pub fn until_stopped<T: Send + 'static>(answer: Answer<T>, stop: CancellationToken) -> Answer<T> {
    let steps = unfold(Some((answer, stop)), |open| async {
        let (mut answer, stop) = open?;
        let next = tokio::select! {
            biased;
            next = answer.next() => Some(next?),
            () = stop.cancelled() => None,
        };
        match next {
            Some(item) => Some((item, Some((answer, stop)))),
            None => Some((Err(status()), None)),
        }
    });
    steps.boxed()
}

/// What a call that is cut off is told.
pub fn status() -> Status {
    Status::unavailable("the controller is shutting down")
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use tonic::Code;

    use super::*;

    #[tokio::test]
    async fn a_stream_that_ends_by_itself_ends_well() {
        let answer = stream::iter([Ok(1), Ok(2)]).boxed();
        let stop = CancellationToken::new();
        let heard: Vec<_> = until_stopped(answer, stop).collect().await;
        assert_eq!(
            heard.into_iter().map(Result::unwrap).collect::<Vec<_>>(),
            [1, 2]
        );
    }

    #[tokio::test]
    async fn a_stream_that_would_go_on_is_told_why_it_does_not() {
        let stop = CancellationToken::new();
        let answer = stream::iter([Ok(1)]).chain(stream::pending()).boxed();
        let mut heard = until_stopped(answer, stop.clone());
        assert_eq!(heard.next().await.unwrap().unwrap(), 1);
        stop.cancel();
        let last = heard.next().await.unwrap().unwrap_err();
        assert_eq!(last.code(), Code::Unavailable);
        assert!(heard.next().await.is_none());
    }
}
