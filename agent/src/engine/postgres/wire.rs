//! COPY on a bare socket: the rows of a table as few large pieces of bytes.
//!
//! On the way out a driver hands over one item a row, which costs more than the server needs to make it. Here
//! the messages are taken apart in place: the frames are cut away, each row is hashed while it
//! lies in the cache, and what leaves is a sequence of batches of about 1 MiB. On the way in a driver copies
//! every byte into a buffer of its own and hands it to another task; here a batch goes from where it lies to the
//! kernel.

mod auth;
mod copy_in;
mod copy_out;
mod rows;
mod session;

pub use copy_in::CopyIn;
pub use copy_out::{CopyOut, Tally};
pub use rows::{BATCH_BYTES, RowReader};
pub use session::{RawError, RawSession};
