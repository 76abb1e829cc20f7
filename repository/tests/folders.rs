//! Files in folders: read back here, and by Debian's restic as files with everything that they have.
#![allow(clippy::unwrap_used, reason = "what panics here has failed the test")]

#[path = "support/backups.rs"]
mod backups;
#[path = "support/restic.rs"]
mod restic;

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
};

use backups::{House, MANIFEST, about, noise};
use bytes::Bytes;
use holdfast_repository::{
    Attributes, Depth, Incomplete, Layout, Placed, Plan, Repository, RepositoryError, Stored, What,
};
use restic::restic;

const MOMENT: i64 = 1_700_000_000;

fn attributes(mode: u32) -> Attributes {
    Attributes {
        mode,
        uid: 70,
        gid: 71,
        modified: (MOMENT, 123_456_789),
        links: 1,
        ..Attributes::default()
    }
}

fn placed(path: &str, what: What, mode: u32) -> Placed {
    Placed {
        path: path.into(),
        what,
        attributes: attributes(mode),
    }
}

fn file(entry: &str) -> What {
    What::File(entry.parse().unwrap())
}

/// Two folders, a file with two names, a link, a pipe, and an empty file.
fn layout() -> Layout {
    let mut items = vec![
        placed("", What::Folder, 0o755),
        placed("a", What::Folder, 0o1770),
        placed("a/deep", What::Folder, 0o700),
        placed("a/deep/big", file("0"), 0o4640),
        placed("a/empty", file("1"), 0o600),
        placed("link", What::Symlink("a/deep/big".into()), 0o777),
        placed("pipe", What::Fifo, 0o620),
        placed("one", file("2"), 0o644),
        placed("a/two", file("2"), 0o644),
    ];
    for item in &mut items {
        if item.what == file("2") {
            (item.attributes.links, item.attributes.inode) = (2, 4711);
        }
    }
    Layout {
        folder: "data".parse().unwrap(),
        items,
    }
}

fn contents(big: &[u8]) -> Vec<Bytes> {
    vec![
        Bytes::copy_from_slice(big),
        Bytes::new(),
        Bytes::from_static(b"shared"),
    ]
}

async fn write(
    repository: &Repository,
    contents: &[Bytes],
    layout: Layout,
) -> Result<Stored, RepositoryError> {
    let names = (0..contents.len()).map(|number| number.to_string().parse().unwrap());
    let mut writing = repository.write(Plan {
        about: about("web-1/shop_uploads"),
        entries: names.collect(),
        last: MANIFEST.parse().unwrap(),
        at_once: 2,
    });
    let mut makers = tokio::task::JoinSet::new();
    while let Some(mut entry) = writing.next().await {
        let bytes = contents[entry.name().as_str().parse::<usize>().unwrap()].clone();
        makers.spawn(async move {
            let length = bytes.len() as u64;
            entry.send(bytes).await?;
            entry.whole(length).await
        });
    }
    makers.join_all().await;
    writing.finish_in_folders("{}", layout).await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_folders_read_back_here_and_with_debians_restic() {
    let house = House::new();
    let repository = house.repository().await;
    let big = noise(5, (3 << 20) + 11);
    let stored = write(&repository, &contents(&big), layout()).await.unwrap();
    let sound = repository.check(Depth::Data { percent: 100.0 });
    assert!(sound.await.unwrap().is_sound());

    let reading = repository.read(stored.snapshot).await.unwrap();
    let top = reading.folder(&"data".parse().unwrap()).await.unwrap();
    let deep = top.folder(OsStr::new("a")).await.unwrap();
    let deep = deep.folder(OsStr::new("deep")).await.unwrap();
    let mut stream = deep.stream(OsStr::new("big")).unwrap();
    let mut read = Vec::new();
    while let Some(piece) = stream.next().await.unwrap() {
        read.extend_from_slice(&piece);
    }
    assert!(read == big);
    assert!(top.stream(OsStr::new("a")).is_err(), "it is a folder");

    let folder = house.folder.path().join("repository");
    let run = |arguments: &[&str]| restic(&folder, house.key.password(), arguments);
    run(&["check", "--read-data"]);
    let target = house.folder.path().join("restored");
    run(&["restore", "latest", "--target", target.to_str().unwrap()]);
    as_written(&target.join("data"), &big);
}

fn as_written(data: &Path, big: &[u8]) {
    let of = |path: &str| fs::symlink_metadata(data.join(path)).unwrap();
    assert!(fs::read(data.join("a/deep/big")).unwrap() == big);
    assert_eq!(fs::read(data.join("a/empty")).unwrap(), b"");
    assert_eq!(fs::read(data.join("a/two")).unwrap(), b"shared");
    assert_eq!(
        of("one").ino(),
        of("a/two").ino(),
        "one file with two names"
    );
    let target = fs::read_link(data.join("link")).unwrap();
    assert_eq!(target, Path::new("a/deep/big"));
    assert!(of("pipe").file_type().is_fifo());
    let modes = [("a", 0o1770), ("a/deep", 0o700), ("a/deep/big", 0o4640)];
    for (path, mode) in modes {
        assert_eq!(of(path).mode() & 0o7777, mode, "{path}");
    }
    for path in ["a", "a/deep/big", "one", "link"] {
        assert_eq!((of(path).uid(), of(path).gid()), (70, 71), "{path}");
    }
    let moment = (of("a/deep/big").mtime(), of("a/deep/big").mtime_nsec());
    assert_eq!(moment, (MOMENT, 123_456_789));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_change_costs_nothing_and_one_changed_file_costs_itself_and_its_folders() {
    let house = House::new();
    let repository = house.repository().await;
    let mut contents = contents(&noise(6, 2 << 20));
    write(&repository, &contents, layout()).await.unwrap();
    let before = repository.stats().await.unwrap().stored_bytes;
    write(&repository, &contents, layout()).await.unwrap();
    let same = repository.stats().await.unwrap().stored_bytes - before;
    // The snapshot itself, and nothing else that grows with what is in the volume.
    assert!(same < 2_000, "{same}");
    contents[2] = Bytes::from_static(b"changed");
    let changed = write(&repository, &contents, layout()).await.unwrap();
    assert!(changed.added_bytes < 10_000, "{changed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layout_that_leaves_an_entry_out_leaves_no_backup() {
    let house = House::new();
    let repository = house.repository().await;
    let mut short = layout();
    short.items.retain(|item| item.path != Path::new("a/empty"));
    let refused = write(&repository, &contents(b"x"), short).await;
    let Err(RepositoryError::Incomplete {
        source: Incomplete::OtherEntries(odd),
        ..
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(odd, ["1"]);
    assert!(repository.snapshots().await.unwrap().is_empty());
}
