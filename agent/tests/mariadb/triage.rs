//! How a data directory is, told from the files of real servers: well, killed, and damaged.
//!
//! Needs Docker on its usual socket, root, and the images `holdfast-test/mariadb:10.11`, `:11.8` and
//! `holdfast-test/mysql:9.7`.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
};

use crate::{
    observed::{Started, docker, said},
    support::context,
};
use holdfast_agent::{observe::instances::Instances, task::perform};
use holdfast_proto::{
    fleet::Engine,
    task::{
        DataTriage,
        DataVerdict::{self, DataLost, NeedsRecovery, Sound, WalDamaged},
        TaskResult, TaskSpec, TriageData,
    },
};

/// A server on a volume of its own, which goes after it.
struct Blog {
    container: Started,
    data: PathBuf,
    state: tempfile::TempDir,
    volume: Volume,
}

struct Volume(String);

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = docker(&["volume", "rm", "-f", &self.0]);
    }
}

impl Blog {
    fn start(word: &str, image: &str, program: &str) -> Self {
        let volume = format!("triage-{word}-{}", std::process::id());
        said(&["volume", "create", &volume]);
        let data = said(&["volume", "inspect", "-f", "{{.Mountpoint}}", &volume]);
        let mount = format!("{volume}:/var/lib/mysql");
        let options = [
            "-v",
            &mount,
            "-e",
            "MARIADB_ROOT_PASSWORD=secret",
            "-e",
            "MYSQL_ROOT_PASSWORD=secret",
        ];
        let container = Started::run(word, &options, image, &[program]);
        let blog = Self {
            container,
            data: data.into(),
            state: tempfile::tempdir().expect("a directory"),
            volume: Volume(volume),
        };
        blog.wait();
        blog.sql(
            "create database blog; create table blog.posts (id int primary key, body varchar(900))",
        );
        blog.sql("insert into blog.posts select n, repeat('x', 800) from (with recursive s as (select 1 n union all select n + 1 from s where n < 900) select n from s) t");
        blog
    }

    fn client(&self, sql: &str) -> std::process::Output {
        let image = self.container.inspect("{{.Config.Image}}");
        let client = if image.contains("mysql") {
            "mysql"
        } else {
            "mariadb"
        };
        // Over the network: the server of the entrypoint listens on its socket only.
        docker(&[
            "exec",
            &self.container.0,
            client,
            "-h127.0.0.1",
            "-uroot",
            "-psecret",
            "-N",
            "-e",
            sql,
        ])
    }

    fn wait(&self) {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(90);
        while !self.client("select 1").status.success() {
            assert!(
                std::time::Instant::now() < end,
                "the server did not come up"
            );
            std::thread::park_timeout(std::time::Duration::from_millis(100));
        }
    }

    #[track_caller]
    fn sql(&self, sql: &str) {
        let done = self.client(sql);
        assert!(done.status.success(), "{sql}: {done:?}");
    }

    async fn triage(&self) -> DataTriage {
        let spec = TriageData {
            instance: String::new(),
            volume: self.volume.0.clone(),
            shown: format!("web-1/{}", self.volume.0),
        };
        let context = context(Instances::default(), self.state.path());
        match perform(TaskSpec::TriageData(spec), &context).await {
            Ok(TaskResult::TriagedData(mut triaged)) => {
                assert_eq!(triaged.directories.len(), 1, "{triaged:#?}");
                triaged.directories.remove(0)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Damages it, hears the verdict, and puts everything back.
    async fn damaged(
        &self,
        name: &str,
        damage: impl FnOnce(&Path),
        verdict: DataVerdict,
        code: &str,
    ) {
        let path = self.data.join(name);
        let aside = self.state.path().join("aside");
        let before = fs::metadata(&path).expect("it is there");
        fs::copy(&path, &aside).expect("a copy");
        damage(&path);
        held(&self.triage().await, verdict, code);
        let _ = fs::remove_file(&path);
        fs::copy(&aside, &path).expect("put back");
        chown(&path, Some(before.uid()), Some(before.gid())).expect("its owner");
    }
}

#[track_caller]
fn held(triage: &DataTriage, verdict: DataVerdict, code: &str) {
    let found = triage.evidence.iter().find(|one| one.verdict == verdict);
    let worst = found.map(|one| one.code.as_str());
    assert_eq!(
        (triage.verdict, worst),
        (verdict, Some(code)),
        "{triage:#?}"
    );
}

fn remove(path: &Path) {
    fs::remove_file(path).expect("removed");
}

/// The half of it is gone.
fn cut(path: &Path) {
    let half = fs::metadata(path).expect("looked at").len() / 2;
    let file = fs::File::options().write(true).open(path);
    file.expect("opened").set_len(half).expect("cut");
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).expect("read");
    bytes[9000] ^= 4;
    fs::write(path, bytes).expect("written");
}

async fn well(blog: &Blog, engine: Engine) {
    let running = blog.triage().await;
    assert_eq!(
        (running.verdict, running.engine),
        (Sound, engine),
        "{running:#?}"
    );
    assert!(running.running);
    said(&["kill", &blog.container.0]);
    let killed = blog.triage().await;
    held(&killed, NeedsRecovery, "not-stopped-in-order");
    assert_eq!(killed.next, format!("docker start {}", blog.container.0));
    said(&["start", &blog.container.0]);
    blog.wait();
    said(&["stop", "-t", "60", &blog.container.0]);
    let stopped = blog.triage().await;
    assert_eq!(stopped.verdict, Sound, "{stopped:#?}");
}

#[tokio::test]
async fn mariadb_well_and_damaged() {
    for version in ["10.11", "11.8"] {
        let word = format!("maria-triage-{version}");
        let image = format!("holdfast-test/mariadb:{version}");
        let blog = Blog::start(&word, &image, "mariadbd");
        well(&blog, Engine::Mariadb).await;
        blog.damaged("ibdata1", remove, DataLost, "system-tablespace-missing")
            .await;
        blog.damaged("ibdata1", flip, DataLost, "system-tablespace-damaged")
            .await;
        blog.damaged("ib_logfile0", remove, WalDamaged, "redo-log-missing")
            .await;
        blog.damaged(
            "ib_logfile0",
            |path| fs::write(path, [0; 4096]).expect("zeroed"),
            WalDamaged,
            "redo-log-damaged",
        )
        .await;
        blog.damaged(
            "aria_log_control",
            remove,
            WalDamaged,
            "aria-control-missing",
        )
        .await;
        blog.damaged("blog/posts.ibd", cut, DataLost, "tablespace-damaged")
            .await;
        blog.damaged("blog/posts.ibd", flip, DataLost, "tablespace-damaged")
            .await;
        blog.damaged("mysql/global_priv.MAD", remove, DataLost, "table-missing")
            .await;
        let triage = blog.triage().await;
        assert_eq!(triage.verdict, Sound, "{triage:#?}");
    }
}

#[tokio::test]
async fn mysql_well_and_damaged() {
    let blog = Blog::start("mysql-triage", "holdfast-test/mysql:9.7", "mysqld");
    well(&blog, Engine::Mysql).await;
    blog.damaged("ibdata1", remove, DataLost, "system-tablespace-missing")
        .await;
    blog.damaged("mysql.ibd", remove, DataLost, "system-tablespace-missing")
        .await;
    blog.damaged("blog/posts.ibd", cut, DataLost, "tablespace-damaged")
        .await;
    fs::remove_dir_all(blog.data.join("#innodb_redo")).expect("removed");
    held(&blog.triage().await, WalDamaged, "redo-log-missing");
}
