//! A file of credentials: lines like `secret_access_key = "…"`, for its owner alone.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use holdfast_chassis::identity::{PrivateFileError, read_private};

/// Why credentials cannot be read. Never with what stands in them.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error(transparent)]
    File(#[from] PrivateFileError),
    #[error("{path}: line {line} is not of the form name = \"value\"")]
    Line { path: PathBuf, line: usize },
}

/// TOML, but told by line number only: its errors would quote the secret.
///
/// # Errors
/// The file cannot be read, is open to others, or a line makes no sense.
pub fn read(path: &Path) -> Result<BTreeMap<String, String>, CredentialsError> {
    let text = read_private(path)?;
    toml::from_str(&text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1;
        let path = path.to_owned();
        CredentialsError::Line { path, line }
    })
}
