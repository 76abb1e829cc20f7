//! The engine's `daemon.json`: our name goes in or out, and everything else stays as it is.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::{json::Json, request::PLUGIN};

/// Where Docker has it unless told otherwise.
pub const USUAL: &str = "/etc/docker/daemon.json";
const KEY: &str = "authorization-plugins";

#[derive(Debug, thiserror::Error)]
pub enum DaemonJsonError {
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is left alone: it is no JSON object; correct it by hand", .path.display())]
    Content {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("{} is left alone: {why}; correct it by hand", .path.display())]
    Odd { path: PathBuf, why: String },
    #[error("cannot write {}", .path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// The file, read.
#[derive(Debug)]
pub struct DaemonJson {
    path: PathBuf,
    /// None: there is no file.
    text: Option<String>,
    content: Vec<(String, Json)>,
}

impl DaemonJson {
    /// # Errors
    /// When it cannot be read or understood.
    pub fn load(path: &Path) -> Result<Self, DaemonJsonError> {
        // Written in its own place, not over a link to it.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let text = match fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(DaemonJsonError::Read { path, source }),
        };
        let content = match text.as_deref().map(str::trim) {
            None | Some("") => Vec::new(),
            Some(text) => match serde_json::from_str(text) {
                Ok(Json::Object(content)) => content,
                Ok(_) => {
                    let why = "it holds no object".to_owned();
                    return Err(DaemonJsonError::Odd { path, why });
                }
                Err(source) => return Err(DaemonJsonError::Content { path, source }),
            },
        };
        let file = Self {
            path,
            text,
            content,
        };
        file.plugins()?;
        Ok(file)
    }

    /// # Errors
    /// When the list is none, or is there twice.
    fn plugins(&self) -> Result<&[Json], DaemonJsonError> {
        let mut lists = self.content.iter().filter(|(key, _)| key == KEY);
        let (list, second) = (lists.next(), lists.next());
        let odd = |why: &str| DaemonJsonError::Odd {
            path: self.path.clone(),
            why: format!("its {KEY} {why}"),
        };
        match (list, second) {
            (_, Some(_)) => Err(odd("is there twice")),
            (None, _) => Ok(&[]),
            (Some((_, Json::List(list))), _) => Ok(list),
            (Some(_), _) => Err(odd("is no list")),
        }
    }

    #[must_use]
    pub fn has_guard(&self) -> bool {
        let plugins = self.plugins().unwrap_or_default();
        plugins.iter().any(|plugin| plugin.text() == Some(PLUGIN))
    }

    /// A file that is named in it, such as `pidfile`.
    #[must_use]
    pub fn file(&self, key: &str) -> Option<PathBuf> {
        let found = self.content.iter().find(|(name, _)| name == key);
        found.and_then(|(_, value)| value.text()).map(PathBuf::from)
    }

    /// Puts the guard in, first of all plugins; whether it was not there before.
    ///
    /// # Errors
    /// When the file cannot be written; then it is as it was.
    pub fn add(&mut self) -> Result<bool, DaemonJsonError> {
        if self.has_guard() {
            return Ok(false);
        }
        let mut plugins = self.plugins()?.to_vec();
        plugins.insert(0, Json::Text(PLUGIN.to_owned()));
        if let Some(before) = &self.text {
            replace(&self.backup(), before, &self.path).map_err(|source| self.unwritten(source))?;
        }
        self.set(plugins);
        self.store()?;
        Ok(true)
    }

    /// Takes the guard out; whether it was there. A list that is empty then goes too.
    ///
    /// # Errors
    /// As [`DaemonJson::add`].
    pub fn remove(&mut self) -> Result<bool, DaemonJsonError> {
        if !self.has_guard() {
            return Ok(false);
        }
        let mut plugins = self.plugins()?.to_vec();
        plugins.retain(|plugin| plugin.text() != Some(PLUGIN));
        self.set(plugins);
        self.store()?;
        Ok(true)
    }

    /// Beside it, as it was before the guard went in.
    #[must_use]
    pub fn backup(&self) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".before-holdfast");
        name.into()
    }

    fn set(&mut self, plugins: Vec<Json>) {
        if plugins.is_empty() {
            self.content.retain(|(key, _)| key != KEY);
            return;
        }
        let list = Json::List(plugins);
        match self.content.iter_mut().find(|(key, _)| key == KEY) {
            Some((_, value)) => *value = list,
            None => self.content.push((KEY.to_owned(), list)),
        }
    }

    fn store(&mut self) -> Result<(), DaemonJsonError> {
        let mut text =
            serde_json::to_string_pretty(&Json::Object(self.content.clone())).unwrap_or_default();
        text.push('\n');
        replace(&self.path, &text, &self.path).map_err(|source| self.unwritten(source))?;
        self.text = Some(text);
        Ok(())
    }

    fn unwritten(&self, source: io::Error) -> DaemonJsonError {
        DaemonJsonError::Write {
            path: self.path.clone(),
            source,
        }
    }
}

/// Whole or not at all, with the mode of another file.
fn replace(path: &Path, text: &str, like: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let mode = fs::metadata(like).map_or(0o644, |found| found.mode() & 0o777);
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    let _ = fs::remove_file(&beside);
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;

    use super::*;

    fn edited(before: &str) -> (String, String, PathBuf, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.json");
        fs::write(&path, before).unwrap();
        let mut file = DaemonJson::load(&path).unwrap();
        assert!(file.add().unwrap() && !file.add().unwrap());
        let with = fs::read_to_string(&path).unwrap();
        let mut file = DaemonJson::load(&path).unwrap();
        assert!(file.has_guard());
        assert!(file.remove().unwrap() && !file.remove().unwrap());
        let without = fs::read_to_string(&path).unwrap();
        (with, without, path, folder)
    }

    #[test]
    fn everything_else_stays_in_its_order() {
        let before = r#"{"storage-driver": "overlay2", "log-opts": {"z": "1", "a": "2"},
            "authorization-plugins": ["other"], "debug": true, "max": 10}"#;
        let (with, without, path, _folder) = edited(before);
        let plain = |text: &str| text.replace([' ', '\n'], "");
        let expected = plain(before).replace(r#"["other"]"#, r#"["holdfast","other"]"#);
        assert_eq!(plain(&with), expected);
        assert_eq!(plain(&without), plain(before));
        let mut backup = path.into_os_string();
        backup.push(".before-holdfast");
        assert!(Path::new(&backup).exists());
    }

    #[test]
    fn a_file_that_is_not_there_is_made_and_one_of_others_keeps_its_mode() {
        let (with, without, ..) = edited("");
        assert!(with.contains("\"holdfast\""), "{with}");
        assert_eq!(without.trim(), "{}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker/daemon.json");
        assert!(DaemonJson::load(&path).unwrap().add().unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        DaemonJson::load(&path).unwrap().remove().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let link = folder.path().join("link.json");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        DaemonJson::load(&link).unwrap().add().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(DaemonJson::load(&path).unwrap().has_guard());
    }

    #[test]
    fn what_is_not_understood_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.json");
        for text in [
            "{",
            "[]",
            r#"{"authorization-plugins":"x"}"#,
            r#"{"authorization-plugins":[],"authorization-plugins":[]}"#,
        ] {
            fs::write(&path, text).unwrap();
            assert!(DaemonJson::load(&path).is_err(), "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn in_and_out_again_changes_nothing(
            keys in proptest::collection::btree_map("[a-z-]{1,12}", -9i64..9, 0..6),
        ) {
            let before = serde_json::to_string(&keys).unwrap();
            let (_, without, ..) = edited(&before);
            let after: std::collections::BTreeMap<String, i64> = serde_json::from_str(&without).unwrap();
            prop_assert_eq!(after, keys);
        }
    }
}
