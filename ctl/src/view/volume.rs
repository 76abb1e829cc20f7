//! Volumes and how much they hold.

use std::collections::BTreeMap;

use holdfast_proto::fleet;
use serde::Serialize;

use super::{Time, container::short};
use crate::output::{
    Page, View,
    grid::{Grid, plain, toned},
    paint::Tone,
    units,
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Volume {
    pub host: String,
    pub name: String,
    pub driver: String,
    pub labels: BTreeMap<String, String>,
    pub created_at: Option<Time>,
    pub mountpoint: String,
    pub anonymous: bool,
    pub used_by: Vec<String>,
    pub protected_by: ProtectedBy,
    /// Empty: none covers it.
    pub policy: String,
    /// Instances whose data lie in it.
    pub holds: Vec<String>,
    /// Of the newest good one.
    pub last_backup_at: Option<Time>,
}

/// Who sees to it that a volume is backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProtectedBy {
    Policy,
    /// Those in it are protected.
    Databases,
    Nobody,
    /// A policy says so.
    NotProtected,
    /// It has no name of its own, or a job has made it for itself.
    NotAsked,
}

/// What is known of the backups of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protected {
    pub by: ProtectedBy,
    pub policy: String,
    pub holds: Vec<String>,
    pub last_backup_at: Option<Time>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VolumeList {
    pub volumes: Vec<Volume>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VolumeSize {
    pub host: String,
    pub volume: String,
    pub bytes: u64,
    pub files: u64,
}

impl Volume {
    #[must_use]
    pub fn of(host: String, volume: fleet::Volume, protected: Protected) -> Self {
        Self {
            host,
            name: volume.name,
            driver: volume.driver,
            labels: volume.labels,
            created_at: volume.created_at,
            mountpoint: volume.mountpoint,
            anonymous: volume.anonymous,
            used_by: volume.used_by,
            protected_by: protected.by,
            policy: protected.policy,
            holds: protected.holds,
            last_backup_at: protected.last_backup_at,
        }
    }

    fn protection(&self) -> (Tone, String) {
        match self.protected_by {
            ProtectedBy::Policy => (Tone::Plain, format!("policy {}", self.policy)),
            ProtectedBy::Databases => {
                let of = self.holds.join(", ");
                (Tone::Plain, format!("databases of {of}"))
            }
            ProtectedBy::Nobody => (Tone::Warn, "nobody".to_owned()),
            ProtectedBy::NotProtected => (Tone::Dim, format!("none: policy {}", self.policy)),
            ProtectedBy::NotAsked => (Tone::Dim, "-".to_owned()),
        }
    }
}

impl View for VolumeList {
    fn text(&self, page: &Page) -> String {
        let head = [
            "HOST",
            "VOLUME",
            "USED BY",
            "PROTECTED BY",
            "LAST BACKUP",
            "DRIVER",
            "CREATED",
            "PATH",
        ];
        let mut grid = Grid::new(page, &head, "no volumes");
        for volume in &self.volumes {
            let tone = if volume.anonymous {
                Tone::Dim
            } else {
                Tone::Strong
            };
            let (care, by) = volume.protection();
            grid.row(vec![
                plain(&volume.host),
                toned(tone, short(&volume.name)),
                if volume.used_by.is_empty() {
                    toned(Tone::Dim, "nobody")
                } else {
                    plain(volume.used_by.join(", "))
                },
                toned(care, by),
                match volume.last_backup_at {
                    Some(at) => plain(units::ago(page.now, Some(at))),
                    None => toned(Tone::Dim, "-"),
                },
                plain(&volume.driver),
                plain(match volume.created_at {
                    Some(at) => units::ago(page.now, Some(at)),
                    None => "unknown".to_owned(),
                }),
                plain(volume.mountpoint.replace(&volume.name, short(&volume.name))),
            ]);
        }
        grid.render()
    }
}

impl View for VolumeSize {
    fn text(&self, _: &Page) -> String {
        format!(
            "{}/{}: {} in {}\n",
            self.host,
            self.volume,
            units::size(self.bytes),
            units::plural(self.files, "file")
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        output::{View as _, testing::page},
        view::samples,
    };

    #[test]
    fn a_list_tells_who_uses_what() {
        assert_eq!(
            samples::volume_list().text(&page()),
            "HOST   VOLUME        USED BY  PROTECTED BY          LAST BACKUP  DRIVER  CREATED   PATH\n\
             web-1  shop_data     shop-db  databases of shop-db  -            local   19 d ago  /var/lib/docker/volumes/shop_data/_data\n\
             web-1  uploads       web      policy files          9 h ago      local   19 d ago  /var/lib/docker/volumes/uploads/_data\n\
             web-1  mail          nobody   nobody                -            local   19 d ago  /var/lib/docker/volumes/mail/_data\n\
             web-1  abababababab  nobody   -                     -            local   unknown   /var/lib/docker/volumes/abababababab/_data\n"
        );
    }

    #[test]
    fn a_size_counts_files_too() {
        assert_eq!(
            samples::volume_size().text(&page()),
            "web-1/shop_data: 340 MiB in 1 214 files\n"
        );
    }
}
