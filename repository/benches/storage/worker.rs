//! One step of ours, in a process of its own: what to do comes in the environment, what came of it goes to stdout.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use chrono::DateTime;
use futures::StreamExt as _;
use holdfast_repository::{
    About, EntryWriter, Grace, Plan, Repository, RepositoryKey, SnapshotId,
    storage::{Bucket, Place, Storage},
};
use serde::{Deserialize, Serialize};

/// The variable that makes a worker of this program.
pub const TASK: &str = "HOLDFAST_BENCH_TASK";

pub const MANIFEST: &str = "{}";

const PIECE: usize = 1 << 20;

#[derive(Serialize, Deserialize)]
pub struct Task {
    /// A directory, or the URL of a bucket with its options.
    pub place: String,
    pub options: Option<BTreeMap<String, String>>,
    /// The repository in it.
    pub folder: String,
    pub key: RepositoryKey,
    pub doing: Doing,
}

#[derive(Serialize, Deserialize)]
pub enum Doing {
    /// Makes the repository, too, when there is none; says the snapshot.
    Backup {
        data: PathBuf,
        create: bool,
    },
    /// Says how many bytes it read.
    Read {
        snapshot: String,
    },
    Prune {
        snapshot: String,
    },
    /// Says how many bytes lie there.
    Measure,
}

pub fn run(task: &OsStr) {
    let task: Task = serde_json::from_str(&task.to_string_lossy()).expect("a task");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!("{}", runtime.block_on(work(task)));
}

async fn work(task: Task) -> String {
    let place = match task.options {
        None => Place::Directory(task.place.into()),
        Some(options) => Place::Bucket(Bucket {
            url: task.place,
            options,
            authority: None,
        }),
    };
    let storage = Storage::open(&place).expect("the storage opens");
    let storage = Arc::new(storage.folder(&task.folder));
    let repository = match &task.doing {
        Doing::Backup { create: true, .. } => Repository::create(storage, task.key).await,
        _ => Repository::open(storage, task.key).await,
    };
    let repository = repository.expect("the repository opens");
    match task.doing {
        Doing::Backup { data, .. } => backup(&repository, &data).await,
        Doing::Read { snapshot } => read(&repository, parsed(&snapshot)).await.to_string(),
        Doing::Prune { snapshot } => prune(&repository, parsed(&snapshot)).await,
        Doing::Measure => {
            let stats = repository.stats().await.expect("it is measured");
            stats.stored_bytes.to_string()
        }
    }
}

fn parsed(snapshot: &str) -> SnapshotId {
    snapshot.parse().expect("a snapshot")
}

async fn backup(repository: &Repository, data: &Path) -> String {
    let mut names: Vec<String> = std::fs::read_dir(data)
        .expect("the data")
        .map(|file| {
            file.expect("a file")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort_unstable();
    let entries = names.iter().map(|name| name.parse().expect("a name"));
    let mut writing = repository.write(Plan {
        about: About {
            host: "bench".to_owned(),
            label: "bench/storage".to_owned(),
            tags: Vec::new(),
            time: DateTime::UNIX_EPOCH,
        },
        entries: entries.collect(),
        last: "zz-manifest.json".parse().expect("a name"),
        at_once: 4,
    });
    let mut makers = tokio::task::JoinSet::new();
    while let Some(entry) = writing.next().await {
        let file = data.join(entry.name().as_str());
        makers.spawn_blocking(move || send(entry, &file));
    }
    makers.join_all().await;
    let stored = writing.finish(MANIFEST).await.expect("a backup");
    stored.snapshot.to_string()
}

fn send(mut entry: EntryWriter, file: &Path) {
    let runtime = tokio::runtime::Handle::current();
    let mut file = File::open(file).expect("the file opens");
    let mut sent = 0;
    loop {
        let mut piece = vec![0; PIECE];
        let length = file.read(&mut piece).expect("the file is read");
        if length == 0 {
            break;
        }
        piece.truncate(length);
        sent += length as u64;
        let taken = runtime.block_on(entry.send(Bytes::from(piece)));
        taken.expect("the repository takes it");
    }
    runtime.block_on(entry.whole(sent)).expect("it is whole");
}

async fn read(repository: &Repository, snapshot: SnapshotId) -> u64 {
    let reading = repository.read(snapshot).await.expect("the snapshot opens");
    let readers = reading.entries().into_iter().map(|(entry, length)| {
        let reading = reading.clone();
        async move {
            let mut stream = reading.stream(&entry).expect("the entry is there");
            let mut bytes = 0;
            while let Some(piece) = stream.next().await.expect("it is read") {
                bytes += piece.len() as u64;
            }
            assert_eq!(bytes, length, "{entry}");
            bytes
        }
    });
    futures::stream::iter(readers)
        .buffer_unordered(4)
        .fold(0, async |all, bytes| all + bytes)
        .await
}

async fn prune(repository: &Repository, snapshot: SnapshotId) -> String {
    repository
        .forget(&[snapshot])
        .await
        .expect("it is forgotten");
    // One marks, the next one removes.
    let grace = Grace::none_because_nothing_else_writes();
    repository.prune(&[], grace).await.expect("it is marked");
    let pruned = repository.prune(&[], grace).await.expect("it is removed");
    format!("{pruned:?}")
}
