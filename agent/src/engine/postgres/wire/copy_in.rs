//! One COPY … FROM STDIN, written to its end.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::BufMut;
use postgres_protocol::message::{backend::Message, frontend};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::session::{RawError, RawSession, copied, is_aside};

/// Bytes of one CopyData: the server looks at a message when it has all of it, so small ones keep it busy
/// while the rest is on its way.
const FRAME_BYTES: usize = 64 << 10;

/// Room for what the server says while we write.
const ASIDE_BYTES: usize = 4 << 10;

/// Tag and length.
type FrameHead = [u8; 5];

/// A COPY IN that runs. Dropping it half-way leaves the session unusable: drop that too, and nothing of the
/// rows stays.
pub struct CopyIn<'a> {
    session: &'a mut RawSession,
}

impl RawSession {
    /// Starts `sql`, which must be a COPY … FROM STDIN.
    ///
    /// # Errors
    /// The server's refusal, or the loss of the connection.
    pub async fn copy_in(&mut self, sql: &str) -> Result<CopyIn<'_>, RawError> {
        self.query(sql).await?;
        match self.message().await? {
            Message::CopyInResponse(_) => Ok(CopyIn { session: self }),
            _ => Err(RawError::Protocol("no COPY began".to_owned())),
        }
    }
}

impl CopyIn<'_> {
    /// Hands on bytes of the COPY's format; they need not end with a row. Back when all are with the kernel.
    ///
    /// # Errors
    /// What the server does not like of anything sent so far, as soon as it says so; the loss of the connection.
    pub async fn send(&mut self, rows: &[u8]) -> Result<(), RawError> {
        let heads: Vec<FrameHead> = rows.chunks(FRAME_BYTES).map(head).collect();
        let mut slices: Vec<IoSlice<'_>> = heads
            .iter()
            .zip(rows.chunks(FRAME_BYTES))
            .flat_map(|(head, body)| [IoSlice::new(head), IoSlice::new(body)])
            .collect();
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            let written = poll_fn(|cx| self.poll_write(cx, rest)).await;
            match written {
                Ok(length) => IoSlice::advance_slices(&mut rest, length),
                Err(source) => return Err(self.session.last_words(source).await),
            }
        }
        self.look()
    }

    /// Ends the COPY. The number of rows is the server's own.
    ///
    /// # Errors
    /// The server's refusal of any row, or the loss of the connection.
    pub async fn finish(self) -> Result<u64, RawError> {
        frontend::copy_done(self.session.outbox());
        self.session.flush().await?;
        let Message::CommandComplete(body) = self.session.message().await? else {
            return Err(RawError::Protocol("something else after a COPY".to_owned()));
        };
        let rows = copied(&body)?;
        self.session.wait_ready().await?;
        Ok(rows)
    }

    /// Writes, and takes in what the server says meanwhile: one that cannot get rid of its words stops reading.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        rest: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_asides(cx)?;
        match Pin::new(&mut self.session.stream).poll_write_vectored(cx, rest) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => written,
        }
    }

    fn poll_asides(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            let mut room = [0; ASIDE_BYTES];
            let mut room = ReadBuf::new(&mut room);
            match Pin::new(&mut self.session.stream).poll_read(cx, &mut room) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(source)) => return Err(source),
                Poll::Ready(Ok(())) if room.filled().is_empty() => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Poll::Ready(Ok(())) => self.session.inbox.put_slice(room.filled()),
            }
        }
    }

    /// Whether the server has said anything that ends the COPY.
    fn look(&mut self) -> Result<(), RawError> {
        while let Some(message) = self.session.parsed()? {
            if !is_aside(&message) {
                return Err(RawError::Protocol(
                    "something else inside a COPY".to_owned(),
                ));
            }
        }
        Ok(())
    }
}

fn head(body: &[u8]) -> FrameHead {
    let mut head = [0; 5];
    let mut at = head.as_mut_slice();
    at.put_u8(b'd');
    // No frame is longer than FRAME_BYTES.
    at.put_u32(4 + body.len() as u32);
    head
}
