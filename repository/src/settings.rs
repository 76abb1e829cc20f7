//! How a repository is set up when it is made; the same for all.

use std::str::FromStr;

use rustic_core::{ConfigOptions, ErrorKind, RusticError, RusticResult, repofile::Chunker};

/// Bytes of one piece of data.
pub(crate) const PIECE: u64 = 1 << 20;

/// restic's format 2, pieces of fixed size, light compression.
///
/// * Streams are cut at stable borders by whoever makes them, so pieces of fixed size find what did
///   not change, at twice the speed of borders that are found in the content.
/// * zstd 1 loses five percent of size against 3, and is half as fast again.
/// * A pack stays in memory while it is filled and written: 16 MiB, however large the repository.
/// * What was encrypted is decrypted again and compared before it is stored: a flipped bit in memory
///   is found while the source is still there.
pub(crate) fn options() -> RusticResult<ConfigOptions> {
    let mut options = ConfigOptions::default();
    options.set_version = Some(2);
    options.set_chunker = Some(Chunker::FixedSize);
    options.set_chunk_size = Some(size(&format!("{PIECE}B"))?);
    options.set_compression = Some(1);
    options.set_extra_verify = Some(true);
    options.set_datapack_size = Some(size("16MiB")?);
    options.set_datapack_growfactor = Some(0);
    options.set_datapack_size_limit = Some(size("16MiB")?);
    options.set_treepack_size = Some(size("4MiB")?);
    options.set_treepack_growfactor = Some(0);
    options.set_treepack_size_limit = Some(size("16MiB")?);
    Ok(options)
}

/// The engine's type for sizes has no name outside of it.
fn size<T: FromStr>(text: &str) -> RusticResult<T> {
    text.parse()
        .map_err(|_| RusticError::new(ErrorKind::Internal, format!("{text} is no size.")))
}
