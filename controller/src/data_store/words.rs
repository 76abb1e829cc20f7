//! The difference of two data stores, for people.

use super::{DataStore, VolumeIdentity};

/// "volume shop_data → shop2_data"; nothing for what is not known on either side.
#[must_use]
pub fn changes(before: &DataStore, now: &DataStore) -> Vec<String> {
    let mut told = Vec::new();
    let mut tell = |what: &str, before: &str, now: &str| {
        if before != now && !before.is_empty() && !now.is_empty() {
            told.push(format!("{what} {before} → {now}"));
        }
    };
    tell("engine", before.engine.label(), now.engine.label());
    tell("volume", &volume_name(before), &volume_name(now));
    if before.volume_name() == now.volume_name() {
        if !before.same_directory(now) {
            tell("volume's creation", &created(before), &created(now));
        }
        tell("volume's driver", &driver(before), &driver(now));
        tell("directory on the host", &before.host_path, &now.host_path);
    }
    tell("data directory", &before.path, &now.path);
    tell(
        "system identifier",
        &before.system_identifier,
        &now.system_identifier,
    );
    tell("file system", &before.file_system, &now.file_system);
    tell("inode", &number(before.inode), &number(now.inode));
    tell("container", &before.container, &now.container);
    tell("image", &before.image_digest, &now.image_digest);
    told
}

/// "none" for data that lie on no volume.
fn volume_name(store: &DataStore) -> String {
    match store.volume_name() {
        Some(name) => name.to_owned(),
        None if store.host_path.is_empty() => "none (the container itself)".to_owned(),
        None => format!("none ({})", store.host_path),
    }
}

fn created(store: &DataStore) -> String {
    let created = store.volume.as_ref().and_then(|volume| volume.created_at);
    created.map_or_else(String::new, |at| at.format("%F %T UTC").to_string())
}

fn driver(store: &DataStore) -> String {
    let driver = |volume: &VolumeIdentity| volume.driver.clone();
    store.volume.as_ref().map(driver).unwrap_or_default()
}

fn number(inode: u64) -> String {
    match inode {
        0 => String::new(),
        inode => inode.to_string(),
    }
}
