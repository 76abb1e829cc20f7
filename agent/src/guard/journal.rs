//! What was refused, a line of JSON each, until the agent has told of it. The file is bounded: the oldest lines go.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use chrono::{DateTime, Utc};
use holdfast_chassis::identity::write_private;
use holdfast_proto::guard::GuardRefusal;
use serde::{Deserialize, Serialize};

use super::refusal::Rule;

/// Of the file; then its younger half stays.
const LARGEST: u64 = 1 << 20;
/// What somebody wrote into a path is not kept at any length.
const LONGEST: usize = 500;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub at: DateTime<Utc>,
    pub rule: Rule,
    /// Name of the volume, or path of the folder; empty where it is about none.
    pub place: String,
    /// "POST containers/create".
    pub call: String,
    pub sentence: String,
}

impl From<Refused> for GuardRefusal {
    fn from(refused: Refused) -> Self {
        Self {
            at: refused.at,
            rule: refused.rule.name().to_owned(),
            place: refused.place,
            call: refused.call,
            sentence: refused.sentence,
        }
    }
}

/// # Errors
/// When the file cannot be written.
pub fn append(path: &Path, refused: &Refused) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| found.len() > LARGEST) {
        halve(path)?;
    }
    let mut refused = refused.clone();
    refused.call = refused.call.chars().take(LONGEST).collect();
    let mut line = serde_json::to_vec(&refused)?;
    line.push(b'\n');
    let mut file = open(path)?;
    file.write_all(&line)?;
    file.sync_data()
}

/// All that are kept, oldest first. A line that was cut off by a crash is left out.
///
/// # Errors
/// When the file cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<Refused>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let lines = text.split(|byte| *byte == b'\n');
    Ok(lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect())
}

fn halve(path: &Path) -> io::Result<()> {
    let text = fs::read(path)?;
    let half = text.get(text.len() / 2..).unwrap_or_default();
    let begin = half
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(half.len(), |at| at + 1);
    write_private(path, half.get(begin..).unwrap_or_default()).map_err(io::Error::other)
}

/// Behind a line that was cut off begins a new one.
fn open(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    let whole = ends_a_line(path)?;
    if !whole {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

fn ends_a_line(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(io::SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(sentence: &str) -> Refused {
        Refused {
            at: DateTime::UNIX_EPOCH,
            rule: Rule::Loss,
            place: "shop_db".to_owned(),
            call: "DELETE volumes/shop_db".to_owned(),
            sentence: sentence.to_owned(),
        }
    }

    #[test]
    fn lines_are_kept_in_order_and_a_torn_one_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("refusals.jsonl");
        assert_eq!(read(&path).unwrap(), []);
        append(&path, &refused("one")).unwrap();
        let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
        torn.write_all(br#"{"at":"#).unwrap();
        append(&path, &refused("two")).unwrap();
        assert_eq!(read(&path).unwrap(), [refused("one"), refused("two")]);
    }

    #[test]
    fn the_oldest_go_when_it_grows_too_large() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("refusals.jsonl");
        let long = "x".repeat(100_000);
        for number in 0..15 {
            append(&path, &refused(&format!("{number} {long}"))).unwrap();
        }
        let kept = read(&path).unwrap();
        assert!(fs::metadata(&path).unwrap().len() < LARGEST + 200_000);
        assert!(kept.len() < 12 && kept.last().unwrap().sentence.starts_with("14 "));
    }
}
