//! How much a volume holds: a walk over its files at low priority.

use std::{
    collections::HashSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use holdfast_proto::task::{
    FailureKind, MeasureVolume, MeasuredVolume, TaskFailure, TaskPhase, TaskProgress,
};
use rustix::{process::setpriority_process, thread::gettid};
use tokio_util::sync::CancellationToken;

use super::{Context, ProgressSender};

/// Kindest to others.
const NICE: i32 = 19;
/// Entries between two looks at whether to go on.
const CHECK_EVERY: u64 = 512;

/// Counts the space that the volume's files take on disk (not their apparent length), a file
/// with several names once. What comes and goes during the walk may or may not be counted.
///
/// # Errors
/// `Invalid` when there is no such volume, `Refused` when its path cannot be read (a driver that
/// keeps it elsewhere), `Cancelled`.
pub async fn run(spec: MeasureVolume, context: &Context) -> Result<MeasuredVolume, TaskFailure> {
    let engine = context.containers.connected().await?;
    let volume = engine
        .docker
        .inspect_volume(&spec.volume)
        .await
        .map_err(|e| engine.explain("looking at volume", &spec.volume, e))?;
    let root = PathBuf::from(volume.mountpoint);
    let (progress, cancel) = (context.progress.clone(), context.cancel.clone());
    let walked = tokio::task::spawn_blocking(move || {
        let priority = Priority::lower();
        let walked = Walk::over(&root, &progress, &cancel);
        drop(priority);
        (walked, root)
    })
    .await;
    match walked {
        Ok((Ok(Some(measured)), _)) => Ok(measured),
        Ok((Ok(None), _)) => Err(TaskFailure {
            kind: FailureKind::Cancelled,
            message: format!("cancelled while measuring volume {}", spec.volume),
            advice: String::new(),
            retryable: false,
        }),
        Ok((Err(error), root)) => Err(TaskFailure {
            kind: FailureKind::Refused,
            message: format!(
                "volume {} cannot be measured: {} cannot be read: {error}",
                spec.volume,
                root.display()
            ),
            advice: "only volumes whose files lie on this host can be measured".to_owned(),
            retryable: false,
        }),
        Err(broken) => Err(TaskFailure {
            kind: FailureKind::Internal,
            message: format!("measuring volume {} broke off: {broken}", spec.volume),
            advice: String::new(),
            retryable: true,
        }),
    }
}

/// Of this thread, which goes back to its pool afterwards.
struct Priority(i32);

impl Priority {
    fn lower() -> Self {
        let thread = Some(gettid());
        let before = rustix::process::getpriority_process(thread).unwrap_or_default();
        let _ = setpriority_process(thread, NICE);
        Self(before)
    }
}

impl Drop for Priority {
    fn drop(&mut self) {
        let _ = setpriority_process(Some(gettid()), self.0);
    }
}

struct Walk<'a> {
    measured: MeasuredVolume,
    /// Files with several names, by device and inode.
    linked: HashSet<(u64, u64)>,
    seen: u64,
    progress: &'a ProgressSender,
    cancel: &'a CancellationToken,
}

impl<'a> Walk<'a> {
    /// `None` when cancelled. Only an unreadable root is an error.
    fn over(
        root: &Path,
        progress: &'a ProgressSender,
        cancel: &'a CancellationToken,
    ) -> io::Result<Option<MeasuredVolume>> {
        let mut walk = Walk {
            measured: MeasuredVolume { bytes: 0, files: 0 },
            linked: HashSet::new(),
            seen: 0,
            progress,
            cancel,
        };
        let mut waiting = vec![fs::read_dir(root)?];
        while let Some(directory) = waiting.last_mut() {
            let Some(entry) = directory.next() else {
                waiting.pop();
                continue;
            };
            // Files come and go under a running server.
            let Ok(entry) = entry else { continue };
            if !walk.goes_on() {
                return Ok(None);
            }
            let Ok(metadata) = fs::symlink_metadata(entry.path()) else {
                continue;
            };
            if metadata.is_dir() {
                walk.measured.bytes += metadata.blocks() * 512;
                waiting.extend(fs::read_dir(entry.path()));
                continue;
            }
            walk.count(&metadata);
        }
        Ok(Some(walk.measured))
    }

    fn count(&mut self, metadata: &fs::Metadata) {
        let again = metadata.nlink() > 1 && !self.linked.insert((metadata.dev(), metadata.ino()));
        if !again {
            self.measured.bytes += metadata.blocks() * 512;
            self.measured.files += 1;
        }
    }

    fn goes_on(&mut self) -> bool {
        self.seen += 1;
        if self.seen.is_multiple_of(CHECK_EVERY) {
            self.progress.report(TaskProgress {
                phase: TaskPhase::Data,
                bytes_done: self.measured.bytes,
                bytes_total: 0,
                rows_done: 0,
                items_done: self.measured.files,
                items_total: 0,
                current: String::new(),
                verified_rows: 0,
                path: None,
            });
            return !self.cancel.is_cancelled();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_two_names_counts_once_and_a_symlink_leads_nowhere() {
        let root = tempfile::tempdir().unwrap();
        let inside = root.path().join("base/1");
        fs::create_dir_all(&inside).unwrap();
        fs::write(inside.join("a"), vec![7u8; 100_000]).unwrap();
        fs::hard_link(inside.join("a"), root.path().join("b")).unwrap();
        std::os::unix::fs::symlink("/", root.path().join("everything")).unwrap();
        let (progress, _) = ProgressSender::new();
        let cancel = CancellationToken::new();
        let measured = Walk::over(root.path(), &progress, &cancel)
            .unwrap()
            .unwrap();
        assert_eq!(measured.files, 2, "the file and the symlink");
        assert!((100_000..150_000).contains(&measured.bytes), "{measured:?}");
        assert!(Walk::over(&root.path().join("no"), &progress, &cancel).is_err());
    }
}
