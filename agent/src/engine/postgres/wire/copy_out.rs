//! One COPY … TO STDOUT, read to its end.

use bytes::Bytes;
use holdfast_proto::image::Hash128;
use postgres_protocol::message::backend::Message;

use super::{
    rows::RowReader,
    session::{RawError, RawSession, copied, is_aside},
};

/// What a COPY came to, after its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    pub rows: u64,
    pub bytes: u64,
    pub fingerprint: Hash128,
    /// What the server itself counted; equal to `rows`, or the COPY has failed.
    pub server_rows: u64,
}

/// A COPY OUT that runs. Dropping it half-way leaves the session unusable: drop that too.
pub struct CopyOut<'a> {
    session: &'a mut RawSession,
    reader: RowReader,
    ended: Option<Tally>,
}

impl RawSession {
    /// Starts `sql`, which must be a COPY … TO STDOUT in the form that `binary` names.
    ///
    /// # Errors
    /// The server's refusal, or the loss of the connection.
    pub async fn copy_out(&mut self, sql: &str, binary: bool) -> Result<CopyOut<'_>, RawError> {
        self.query(sql).await?;
        match self.message().await? {
            Message::CopyOutResponse(_) => Ok(CopyOut {
                session: self,
                reader: RowReader::new(binary),
                ended: None,
            }),
            _ => Err(RawError::Protocol("no COPY began".to_owned())),
        }
    }
}

impl CopyOut<'_> {
    /// The next batch of about 1 MiB; none at the end.
    ///
    /// # Errors
    /// An error of the server in the middle, the loss of the connection, or a row count that is
    /// not the server's.
    pub async fn next(&mut self) -> Result<Option<Bytes>, RawError> {
        loop {
            if self.ended.is_some() {
                return Ok(None);
            }
            let other = self
                .reader
                .take(&mut self.session.inbox)
                .map_err(RawError::Broken)?;
            if self.reader.is_full() {
                return Ok(self.reader.batch());
            }
            if !other {
                self.session.fill().await?;
                continue;
            }
            if self.handle_other().await? {
                return Ok(self.reader.batch());
            }
        }
    }

    /// Reads everything and keeps nothing but the tally.
    ///
    /// # Errors
    /// As [`CopyOut::next`].
    pub async fn drain(mut self, mut seen: impl FnMut(u64)) -> Result<Tally, RawError> {
        let mut rows = 0;
        while self.next().await?.is_some() {
            let now = self.reader.rows();
            seen(now - rows);
            rows = now;
        }
        self.tally()
    }

    /// Rows so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.reader.rows()
    }

    /// # Errors
    /// When it has not been read to its end.
    pub fn tally(&self) -> Result<Tally, RawError> {
        self.ended
            .ok_or_else(|| RawError::Protocol("the COPY was not read to its end".to_owned()))
    }

    /// A message that is not CopyData; true when it was the last.
    async fn handle_other(&mut self) -> Result<bool, RawError> {
        match self.session.any_message().await? {
            message if is_aside(&message) => Ok(false),
            Message::CopyDone => Ok(false),
            Message::CommandComplete(body) => {
                let said = copied(&body)?;
                let seen = self.reader.rows();
                if said != seen {
                    return Err(RawError::Miscounted { said, seen });
                }
                self.session.wait_ready().await?;
                self.ended = Some(Tally {
                    rows: seen,
                    bytes: self.reader.bytes(),
                    fingerprint: self.reader.fingerprint(),
                    server_rows: said,
                });
                Ok(true)
            }
            _ => Err(RawError::Protocol(
                "something else inside a COPY".to_owned(),
            )),
        }
    }
}
