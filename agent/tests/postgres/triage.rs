//! How a data directory is, told from the files of real servers: well, killed, and damaged in every way.
//!
//! Needs Docker on its usual socket, root, and the images `holdfast-test/postgres:15` and `:17`.

use std::{
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
};

use crate::{
    observed::{Started, docker, said},
    support::context,
};
use holdfast_agent::{
    observe::instances::{Instances, Standing},
    task::perform,
};
use holdfast_proto::task::{
    DataTriage, DataVerdict, TaskFailure, TaskResult, TaskSpec, TriageData,
};

/// A server on a volume of its own, with a table and its index; both are removed when it is dropped.
struct Shop {
    container: Started,
    volume: String,
    data: PathBuf,
    state: tempfile::TempDir,
}

/// In this order: the container goes before its volume.
struct Volume(String);

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = docker(&["volume", "rm", "-f", &self.0]);
    }
}

impl Shop {
    fn start(word: &str, version: u32) -> (Self, Volume) {
        let volume = format!("triage-{word}-{}", std::process::id());
        said(&["volume", "create", &volume]);
        let data = said(&["volume", "inspect", "-f", "{{.Mountpoint}}", &volume]);
        let mount = format!("{volume}:/var/lib/postgresql/data");
        let container = Started::server(word, version, &["-v", &mount], &[]);
        let shop = Self {
            container,
            data: data.into(),
            state: tempfile::tempdir().expect("a directory"),
            volume: volume.clone(),
        };
        shop.wait();
        shop.container
            .psql("create table users (id int primary key, name text)");
        shop.container
            .psql("insert into users select n, 'user ' || n from generate_series(1, 5000) n");
        (shop, Volume(volume))
    }

    fn wait(&self) {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let ready = [
            "exec",
            &self.container.0,
            "pg_isready",
            "-q",
            "-h",
            "127.0.0.1",
        ];
        while !docker(&ready).status.success() {
            assert!(
                std::time::Instant::now() < end,
                "the server did not come up"
            );
            std::thread::park_timeout(std::time::Duration::from_millis(50));
        }
    }

    fn stop(&self) {
        said(&["stop", "-t", "60", &self.container.0]);
    }

    async fn ask(&self, instance: &str, volume: &str) -> Result<Vec<DataTriage>, TaskFailure> {
        let instances = Instances::default();
        // As the observer notes one whose container does not run.
        instances.set(
            &self.container.0,
            Standing::Down("it does not run".to_owned()),
        );
        let spec = TriageData {
            instance: instance.to_owned(),
            volume: volume.to_owned(),
            shown: format!("web-1/{instance}{volume}"),
        };
        let context = context(instances, self.state.path());
        match perform(TaskSpec::TriageData(spec), &context).await? {
            TaskResult::TriagedData(triaged) => Ok(triaged.directories),
            other => panic!("{other:?}"),
        }
    }

    async fn triage(&self) -> DataTriage {
        let mut found = self.ask(&self.container.0, "").await.expect("an answer");
        assert_eq!(found.len(), 1);
        found.remove(0)
    }

    #[track_caller]
    fn held(&self, triage: &DataTriage, verdict: DataVerdict, code: &str) {
        let worst = triage.evidence.first().map(|one| one.code.as_str());
        assert_eq!(
            (triage.verdict, worst),
            (verdict, Some(code)),
            "{triage:#?}"
        );
    }

    /// Damages it, hears the verdict, and puts everything back.
    async fn damaged(
        &self,
        name: &str,
        damage: impl FnOnce(&Path),
        verdict: DataVerdict,
        code: &str,
    ) -> DataTriage {
        let path = self.data.join(name);
        let aside = self.state.path().join("aside");
        let before = fs::metadata(&path).expect("it is there");
        fs::copy(&path, &aside).expect("a copy");
        damage(&path);
        let triage = self.triage().await;
        self.held(&triage, verdict, code);
        let _ = fs::remove_file(&path);
        fs::copy(&aside, &path).expect("put back");
        chown(&path, Some(before.uid()), Some(before.gid())).expect("its owner");
        triage
    }

    fn file(&self, sql: &str) -> String {
        self.container
            .psql(&format!("select pg_relation_filepath('{sql}')"))
    }
}

fn remove(path: &Path) {
    fs::remove_file(path).expect("removed");
}

fn flip(path: &Path, at: u64) {
    let bytes = fs::read(path).expect("read");
    let mut file = fs::File::options().write(true).open(path).expect("opened");
    file.seek(SeekFrom::Start(at)).expect("there");
    let index = usize::try_from(at).expect("small");
    file.write_all(&[bytes[index] ^ 4]).expect("written");
}

/// Everything about every file that a reader must not change.
fn picture(folder: &Path) -> Vec<(PathBuf, u64, i64, i64, u64, u32)> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).expect("listed").flatten() {
            let path = entry.path();
            let seen = fs::symlink_metadata(&path).expect("looked at");
            if seen.is_dir() {
                waiting.push(path.clone());
            }
            found.push((
                path,
                seen.ino(),
                seen.mtime_nsec(),
                seen.ctime_nsec(),
                seen.size(),
                seen.mode(),
            ));
        }
    }
    found.sort();
    found
}

async fn well(version: u32) {
    let (shop, _volume) = Shop::start(&format!("well-{version}"), version);
    let name = shop.container.0.clone();
    let running = shop.triage().await;
    shop.held(&running, DataVerdict::Sound, "control-file");
    assert!(
        running.running && running.evidence.iter().any(|one| one.code == "running"),
        "{running:#?}"
    );
    assert_eq!(running.version, version.to_string());
    assert!(
        running
            .system_identifier
            .parse::<u64>()
            .is_ok_and(|id| id > 0)
    );
    let told = shop
        .container
        .psql("select system_identifier from pg_control_system()");
    assert_eq!(running.system_identifier, told);
    assert_eq!((running.runbook.as_str(), running.next.as_str()), ("", ""));

    shop.stop();
    let before = picture(&shop.data);
    let stopped = shop.triage().await;
    shop.held(&stopped, DataVerdict::Sound, "control-file");
    assert!(!stopped.running, "{stopped:#?}");
    assert_eq!(
        picture(&shop.data),
        before,
        "something was changed by looking"
    );
    let by_volume = shop.ask("", &shop.volume).await.expect("an answer");
    assert_eq!(by_volume.len(), 1);
    shop.held(&by_volume[0], DataVerdict::Sound, "control-file");

    said(&["start", &name]);
    shop.wait();
    shop.container
        .psql("insert into users select n, 'more' from generate_series(5001, 9000) n");
    said(&["kill", &name]);
    let killed = shop.triage().await;
    shop.held(&killed, DataVerdict::NeedsRecovery, "not-stopped-in-order");
    assert!(
        killed.evidence.iter().any(|one| one.code == "stale-lock"),
        "{killed:#?}"
    );
    assert_eq!(killed.next, format!("docker start {name}"));
    // It is right: the server recovers, and all rows are there.
    said(&["start", &name]);
    shop.wait();
    assert_eq!(shop.container.psql("select count(*) from users"), "9000");
    let again = shop.triage().await;
    shop.held(&again, DataVerdict::Sound, "control-file");
}

#[tokio::test]
async fn well_15() {
    well(15).await;
}

#[tokio::test]
async fn well_17() {
    well(17).await;
}

/// Each damage alone, on a server that was stopped in order.
async fn damage(version: u32) {
    use DataVerdict::{DataLost, IndexBroken, Unknown, WalDamaged};

    let (shop, _volume) = Shop::start(&format!("damage-{version}"), version);
    let table = shop.file("users");
    let index = shop.file("users_pkey");
    let pg_index = shop.file("pg_index");
    let database = table.rsplit_once('/').expect("a path").0.to_owned();
    shop.stop();

    let triage = shop
        .damaged("global/2671", remove, IndexBroken, "system-index-missing")
        .await;
    assert!(
        triage.evidence[0]
            .what
            .contains("pg_database_datname_index"),
        "{triage:#?}"
    );
    assert_eq!(triage.runbook, "catalog-damage");
    let copy = format!("ctl backup create --volume web-1/{} --stop", shop.volume);
    assert!(triage.next.starts_with(&copy), "{triage:#?}");
    let triage = shop
        .damaged("global/1262", remove, DataLost, "system-table-missing")
        .await;
    assert!(
        triage.evidence[0].what.contains("pg_database"),
        "{triage:#?}"
    );

    let control = "global/pg_control";
    let triage = shop
        .damaged(control, remove, DataLost, "control-file-missing")
        .await;
    assert_eq!(triage.runbook, "wal-corruption");
    shop.damaged(
        control,
        |path| flip(path, 45),
        DataLost,
        "control-file-damaged",
    )
    .await;
    let cut = |path: &Path| {
        fs::File::options()
            .write(true)
            .open(path)
            .expect("opened")
            .set_len(120)
            .expect("cut")
    };
    shop.damaged(control, cut, DataLost, "control-file-damaged")
        .await;

    let segment = fs::read_dir(shop.data.join("pg_wal"))
        .expect("listed")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.len() == 24)
        .min()
        .expect("a segment");
    let segment = format!("pg_wal/{segment}");
    let triage = shop
        .damaged(&segment, remove, WalDamaged, "wal-segment-missing")
        .await;
    assert_eq!(triage.runbook, "wal-corruption");
    let zero = |path: &Path| fs::write(path, vec![0; 16 << 20]).expect("zeroed");
    shop.damaged(&segment, zero, WalDamaged, "wal-segment-damaged")
        .await;

    shop.damaged(&table, remove, DataLost, "table-missing")
        .await;
    shop.damaged(&index, remove, IndexBroken, "index-missing")
        .await;
    let empty = |path: &Path| fs::write(path, "").expect("emptied");
    shop.damaged(&index, empty, IndexBroken, "index-empty")
        .await;
    let triage = shop
        .damaged(&pg_index, remove, DataLost, "system-table-missing")
        .await;
    assert!(
        triage.evidence[0]
            .what
            .contains("pg_index of database postgres"),
        "{triage:#?}"
    );
    let map = format!("{database}/pg_filenode.map");
    shop.damaged(
        &map,
        |path| flip(path, 12),
        DataLost,
        "filenode-map-damaged",
    )
    .await;
    shop.damaged(
        "global/pg_filenode.map",
        remove,
        DataLost,
        "filenode-map-missing",
    )
    .await;
    shop.damaged("PG_VERSION", remove, DataLost, "version-file-missing")
        .await;
    let other = |path: &Path| chown(path, Some(4711), None).expect("another's");
    shop.damaged(&table, other, Unknown, "wrong-owner").await;
    let link = |path: &Path| {
        remove(path);
        std::os::unix::fs::symlink("/etc/passwd", path).expect("a link");
    };
    shop.damaged(control, link, Unknown, "unreadable").await;

    // Everything is where it was.
    let triage = shop.triage().await;
    shop.held(&triage, DataVerdict::Sound, "control-file");
    for entry in fs::read_dir(&shop.data).expect("listed").flatten() {
        let path = entry.path();
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.expect("removed");
    }
    let triage = shop.triage().await;
    shop.held(&triage, DataLost, "data-directory-empty");
    assert_eq!(triage.runbook, "volume-lost");
}

#[tokio::test]
async fn damage_15() {
    damage(15).await;
}

#[tokio::test]
async fn damage_17() {
    damage(17).await;
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let (shop, volume) = Shop::start("gone", 15);
    said(&["rm", "-f", &shop.container.0]);
    let gone = shop
        .ask(&shop.container.0, "")
        .await
        .expect_err("it is gone");
    assert!(gone.advice.contains("ctl volume triage"), "{gone:?}");
    // The volume tells all the same.
    let found = shop.ask("", &shop.volume).await.expect("an answer");
    shop.held(
        &found[0],
        DataVerdict::NeedsRecovery,
        "not-stopped-in-order",
    );
    let other = shop.ask("nobody", "").await.expect_err("there is none");
    assert!(other.message.contains("nobody"), "{other:?}");
    let both = shop.ask("a", "b").await.expect_err("one of the two");
    assert!(both.message.contains("either"), "{both:?}");
    said(&["volume", "rm", &volume.0]);
    let missing = shop.ask("", &shop.volume).await.expect_err("it is gone");
    assert!(
        missing.message.contains("there is no volume"),
        "{missing:?}"
    );
}

/// A running server that changes its tables all the time is sound whenever one looks.
#[tokio::test]
async fn a_busy_server_is_sound() {
    let (shop, _volume) = Shop::start("busy", 17);
    let script = "do $$ begin for n in 1..60 loop \
        execute format('create table t%s as select g from generate_series(1, 1000) g', n); \
        execute format('create index on t%s (g)', n); commit; \
        if n > 3 then execute format('drop table t%s', n - 3); commit; end if; \
        if n % 5 = 0 then perform pg_switch_wal(); commit; end if; end loop; end $$";
    let name = shop.container.0.clone();
    let busy = std::thread::spawn(move || {
        let psql = [
            "exec",
            &name,
            "psql",
            "-U",
            "postgres",
            "-Xq",
            "-v",
            "ON_ERROR_STOP=1",
        ];
        for _ in 0..3 {
            for statement in [
                script,
                "checkpoint",
                "vacuum full pg_class",
                "drop table t58, t59, t60",
            ] {
                let done = docker(&[&psql[..], &["-c", statement]].concat());
                assert!(done.status.success(), "{done:?}");
            }
        }
    });
    let mut looks = 0;
    while !busy.is_finished() || looks < 5 {
        let triage = shop.triage().await;
        shop.held(&triage, DataVerdict::Sound, "control-file");
        looks += 1;
    }
    busy.join().expect("it was busy");
}
