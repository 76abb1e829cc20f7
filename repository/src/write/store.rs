//! The engine's part of a backup, on a thread of its own: store, compare, and only then let it count.

use std::sync::Arc;

use rustic_core::{
    BackupOptions, ParentOptions, SnapshotOptions, jiff::tz::TimeZone, repofile::SnapshotFile,
};

use super::{
    About, Incomplete, Stored, account::Account, layout, pack::TreePacker, seal::Seal,
    source::Source, tree,
};
use crate::{
    bridge::Bridge,
    error::RepositoryError,
    key::RepositoryKey,
    repository::{Failed, Opened},
};

/// The one path of every snapshot.
const ROOT: &str = "/";

pub(super) fn store(
    bridge: &Arc<Bridge>,
    opened: Opened,
    key: &RepositoryKey,
    about: &About,
    source: &Source,
) -> Result<Stored, Failed> {
    let account = source.opening.account.clone();
    let opened = opened.to_indexed_ids()?;
    let snapshot = opened.archive(&options(), source, label(about)?, &[ROOT.into()]);
    // What the storage said explains what became of the entries.
    if bridge.failure().is_some() {
        snapshot?;
        return Err(Failed::Engine(rustic_core::RusticError::new(
            rustic_core::ErrorKind::Backend,
            "The storage failed.",
        )));
    }
    let entries = settle(&account, bridge)?;
    let mut snapshot = snapshot?;
    let opened = opened.drop_index().to_indexed()?;
    let location = bridge.location();
    let mut nodes = tree::compare(&opened, &snapshot, &entries, (&location, about.moment()))?;
    let mut packer = TreePacker::new(&opened, bridge, Seal::new(key)?);
    if let Some(layout) = source.layout.get() {
        let placed = layout::nodes(layout, nodes, &source.last, &mut packer)?;
        nodes = placed
            .map_err(|source| Failed::Told(RepositoryError::Incomplete { location, source }))?;
    }
    snapshot.tree = packer.add(nodes)?;
    packer.finish()?;
    // Abandoned until now: nothing counts. From here on it does.
    settle(&account, bridge)?;
    let summary = snapshot.summary.clone().unwrap_or_default();
    bridge.let_snapshots_through();
    opened.save_snapshots(vec![snapshot])?;
    let stored = bridge.snapshots();
    let [snapshot] = stored.as_slice() else {
        return Err(Failed::Told(RepositoryError::Incomplete {
            location: bridge.location(),
            source: Incomplete::Missing(vec!["the snapshot itself".to_owned()]),
        }));
    };
    Ok(Stored {
        snapshot: (*snapshot).into(),
        bytes: entries.values().sum(),
        entries,
        added_bytes: summary.data_added_packed,
    })
}

fn settle(
    account: &Account,
    bridge: &Bridge,
) -> Result<std::collections::BTreeMap<super::EntryName, u64>, Failed> {
    account.settle().map_err(|source| {
        Failed::Told(RepositoryError::Incomplete {
            location: bridge.location(),
            source,
        })
    })
}

fn options() -> BackupOptions {
    let mut options = BackupOptions::default();
    // With a parent, an entry of the same name and size would be taken for unchanged and not be read.
    options.parent_opts = ParentOptions::default().force(true);
    options.no_scan = true;
    options
}

fn label(about: &About) -> Result<SnapshotFile, Failed> {
    let mut options = SnapshotOptions::default();
    options.host = Some(about.host.clone());
    options.label = Some(about.label.clone());
    options.time = Some(about.moment().to_zoned(TimeZone::UTC));
    for tag in &about.tags {
        options = options.add_tags(tag)?;
    }
    let mut snapshot = options.to_snapshot()?;
    snapshot.username = "holdfast".to_owned();
    snapshot.program_version = concat!("holdfast ", env!("CARGO_PKG_VERSION")).to_owned();
    Ok(snapshot)
}
