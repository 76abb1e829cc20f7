//! Who runs, where, in which order, and what each step took.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use holdfast_repository::{RepositoryKey, storage::Bucket};

use super::{
    azure::Azure,
    data::{self, Data},
    restic::Restic,
    s3::S3,
    server::Server as _,
    usage::{Usage, used},
    worker::{Doing, MANIFEST, TASK, Task},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contender {
    Directory,
    ResticDirectory,
    S3,
    ResticS3,
    Azure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    First,
    Second,
    Read,
    Prune,
}

#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    pub wall_s: f64,
    pub cpu_s: f64,
    pub peak_mib: u64,
    /// What lies in the repository after it.
    pub stored_mb: f64,
}

pub struct Places {
    folder: PathBuf,
    /// What the S3 server keeps of the folder of a name.
    s3_files: PathBuf,
    s3_endpoint: String,
    s3: Bucket,
    azure: Bucket,
}

/// Repositories that were empty when it began.
pub struct Round<'a> {
    places: &'a Places,
    name: String,
    key: RepositoryKey,
    /// The first backup of each of ours, and the latest.
    snapshots: BTreeMap<Contender, (String, String)>,
}

impl Contender {
    pub const ALL: [Self; 5] = [
        Self::Directory,
        Self::ResticDirectory,
        Self::S3,
        Self::ResticS3,
        Self::Azure,
    ];
    pub const PAIRS: [(Self, Self); 4] = [
        (Self::Directory, Self::ResticDirectory),
        (Self::S3, Self::ResticS3),
        (Self::S3, Self::Directory),
        (Self::Azure, Self::Directory),
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Directory => "holdfast, directory",
            Self::ResticDirectory => "restic, directory",
            Self::S3 => "holdfast, S3",
            Self::ResticS3 => "restic, S3",
            Self::Azure => "holdfast, Azure",
        }
    }

    /// This S3 server answers restic's listing of packs (an empty delimiter) with none: restic prunes nothing then.
    pub fn does(self, step: Step) -> bool {
        self != Self::ResticS3 || step != Step::Prune
    }
}

impl Step {
    pub const ALL: [Self; 4] = [Self::First, Self::Second, Self::Read, Self::Prune];

    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Second => "second",
            Self::Read => "read",
            Self::Prune => "prune",
        }
    }
}

impl Outcome {
    /// By wall time.
    pub fn median(all: &[Self]) -> Self {
        let mut sorted = all.to_vec();
        sorted.sort_by(|a, b| a.wall_s.total_cmp(&b.wall_s));
        sorted[sorted.len() / 2]
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.2} s, {:.2} CPU s, {} MiB, {:.1} MB stored",
            self.wall_s, self.cpu_s, self.peak_mib, self.stored_mb
        )
    }
}

impl Places {
    pub fn new(folder: &Path, s3: &S3, azure: &Azure) -> Self {
        Self {
            folder: folder.to_owned(),
            s3_files: s3.folder(""),
            s3_endpoint: s3.endpoint.clone(),
            s3: s3.bucket(&[]),
            azure: azure.bucket(&[]),
        }
    }
}

impl<'a> Round<'a> {
    pub fn begin(places: &'a Places, number: usize) -> Self {
        let round = Self {
            places,
            name: format!("round-{number}"),
            key: RepositoryKey::random(),
            snapshots: BTreeMap::new(),
        };
        for contender in Contender::ALL {
            if let Some(restic) = round.restic(contender) {
                restic.init();
            }
        }
        round
    }

    pub fn run(&mut self, contender: Contender, step: Step, data: &Data) -> Outcome {
        let usage = match self.restic(contender) {
            Some(restic) => match step {
                Step::First | Step::Second => restic.backup(data),
                Step::Read => restic.read(),
                Step::Prune => restic.prune(),
            },
            None => self.ours(contender, step, data),
        };
        let Usage {
            wall_s,
            cpu_s,
            peak_mib,
            said: _,
        } = usage;
        Outcome {
            wall_s,
            cpu_s,
            peak_mib,
            stored_mb: self.stored(contender) as f64 / 1e6,
        }
    }

    /// What it wrote on this machine goes, so that rounds find the same disk.
    pub fn end(self) {
        for folder in [
            self.places.folder.join(&self.name),
            self.places.folder.join(self.peer()),
            self.places.folder.join("cache"),
            self.places.s3_files.join(&self.name),
            self.places.s3_files.join(self.peer()),
        ] {
            fs::remove_dir_all(folder).expect("the round's folder goes");
        }
    }

    fn ours(&mut self, contender: Contender, step: Step, data: &Data) -> Usage {
        let snapshots = self.snapshots.get(&contender).cloned();
        let (first, latest) = snapshots.unwrap_or_default();
        let usage = used(self.worker(
            contender,
            match step {
                Step::First | Step::Second => Doing::Backup {
                    data: data.folder().to_owned(),
                    create: step == Step::First,
                },
                Step::Read => Doing::Read { snapshot: latest },
                Step::Prune => Doing::Prune {
                    snapshot: first.clone(),
                },
            },
        ));
        let said = usage.said.trim().to_owned();
        match step {
            Step::First => drop(self.snapshots.insert(contender, (said.clone(), said))),
            Step::Second => drop(self.snapshots.insert(contender, (first, said))),
            Step::Read => assert_eq!(said, (data::BYTES + MANIFEST.len()).to_string()),
            Step::Prune => {}
        }
        usage
    }

    fn stored(&self, contender: Contender) -> u64 {
        let said = match contender {
            Contender::ResticDirectory => du(&self.places.folder.join(self.peer())),
            Contender::ResticS3 => du(&self.places.s3_files.join(self.peer())),
            Contender::Directory | Contender::S3 | Contender::Azure => {
                used(self.worker(contender, Doing::Measure)).said
            }
        };
        let bytes = said.split_whitespace().next().unwrap_or_default();
        bytes.parse().expect("a number")
    }

    fn worker(&self, contender: Contender, doing: Doing) -> Command {
        let bucket = match contender {
            Contender::S3 => Some(&self.places.s3),
            Contender::Azure => Some(&self.places.azure),
            Contender::Directory | Contender::ResticDirectory | Contender::ResticS3 => None,
        };
        let task = Task {
            place: bucket.map_or_else(
                || self.places.folder.display().to_string(),
                |bucket| bucket.url.clone(),
            ),
            options: bucket.map(|bucket| bucket.options.clone()),
            folder: self.name.clone(),
            key: self.key.clone(),
            doing,
        };
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.env(TASK, serde_json::to_string(&task).expect("a task"));
        command
    }

    fn restic(&self, contender: Contender) -> Option<Restic> {
        let peer = self.peer();
        let repository = match contender {
            Contender::ResticDirectory => self.places.folder.join(peer).display().to_string(),
            Contender::ResticS3 => {
                format!("s3:{}/backups/holdfast/{peer}", self.places.s3_endpoint)
            }
            Contender::Directory | Contender::S3 | Contender::Azure => return None,
        };
        Some(Restic::new(repository, &self.places.folder.join("cache")))
    }

    fn peer(&self) -> String {
        format!("{}-restic", self.name)
    }
}

fn du(folder: &Path) -> String {
    let mut command = Command::new("du");
    command.arg("-sb").arg(folder);
    used(command).said
}
