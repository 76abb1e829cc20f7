//! How a throwaway server is started: nobody but its host reaches it, and nothing in it is worth a flush to disk.

use holdfast_proto::{fleet::Engine, task::SandboxLimits};

/// Of the memory that it is given, the share of the server's own cache.
const CACHE_SHARE: u64 = 4;
/// A few checkpoints in a whole restore, and no disk full of log.
const MOST_LOG_MB: u64 = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipe {
    Postgres,
    Mariadb,
    Mysql,
}

impl From<Engine> for Recipe {
    fn from(engine: Engine) -> Self {
        match engine {
            Engine::Postgres => Self::Postgres,
            Engine::Mariadb => Self::Mariadb,
            Engine::Mysql => Self::Mysql,
        }
    }
}

impl Recipe {
    /// It has no network, and an administrator of no password on its socket.
    #[must_use]
    pub fn environment(self) -> Vec<String> {
        let words: &[&str] = match self {
            // A sync at the end of initdb waits for everything that the whole host has not written yet.
            Self::Postgres => &[
                "POSTGRES_USER=postgres",
                "POSTGRES_HOST_AUTH_METHOD=trust",
                "POSTGRES_INITDB_ARGS=--no-sync",
            ],
            Self::Mysql => &["MYSQL_ALLOW_EMPTY_PASSWORD=1"],
            // The second name is that of older images.
            Self::Mariadb => &[
                "MARIADB_ALLOW_EMPTY_ROOT_PASSWORD=1",
                "MYSQL_ALLOW_EMPTY_PASSWORD=1",
            ],
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// The image's own command with settings behind it: the last word on a setting counts.
    #[must_use]
    pub fn command(
        self,
        own: Vec<String>,
        preload_libraries: &str,
        limits: SandboxLimits,
    ) -> Vec<String> {
        let cache = limits.memory_bytes / CACHE_SHARE;
        let (programs, settings): (&[&str], Vec<String>) = match self {
            Self::Postgres => (&["postgres"], postgres(preload_libraries, cache)),
            Self::Mariadb => (&["mariadbd", "mysqld"], mariadb(cache)),
            // A MySQL takes no rows over a connection unless it is told to.
            Self::Mysql => (
                &["mysqld"],
                [mariadb(cache), vec!["--local-infile=ON".to_owned()]].concat(),
            ),
        };
        // An image that starts something of its own before the server gets the server alone.
        let runs_it = own.first().is_some_and(|first| {
            let program = first.rsplit('/').next().unwrap_or(first);
            programs.contains(&program)
        });
        let mut command = if runs_it {
            own
        } else {
            vec![programs[0].to_owned()]
        };
        command.extend(settings);
        command
    }
}

fn postgres(preload_libraries: &str, cache: u64) -> Vec<String> {
    let mut settings: Vec<String> = [
        "fsync=off",
        "full_page_writes=off",
        "synchronous_commit=off",
        "wal_level=minimal",
        "max_wal_senders=0",
        "archive_mode=off",
        "autovacuum=off",
        "checkpoint_timeout=1h",
    ]
    .map(str::to_owned)
    .to_vec();
    settings.push(format!("max_wal_size={MOST_LOG_MB}MB"));
    settings.push(format!("shared_buffers={}MB", (cache >> 20).max(16)));
    if !preload_libraries.is_empty() {
        settings.push(format!("shared_preload_libraries={preload_libraries}"));
    }
    let options = settings.into_iter();
    options
        .flat_map(|setting| ["-c".to_owned(), setting])
        .collect()
}

fn mariadb(cache: u64) -> Vec<String> {
    let mut settings: Vec<String> = [
        "--skip-log-bin",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-doublewrite=0",
    ]
    .map(str::to_owned)
    .to_vec();
    let megabytes = (cache >> 20).max(32);
    settings.push(format!("--innodb-buffer-pool-size={megabytes}M"));
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SandboxLimits = SandboxLimits {
        cpu_millis: 1_000,
        memory_bytes: 1 << 30,
    };

    fn words(command: &[&str]) -> Vec<String> {
        command.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn libraries_are_loaded_as_at_the_source_and_the_image_s_own_settings_stay() {
        let own = words(&["postgres", "-c", "max_connections=300"]);
        let command = Recipe::Postgres.command(own, "timescaledb,pg_cron", LIMITS);
        assert_eq!(
            command[..3],
            words(&["postgres", "-c", "max_connections=300"])
        );
        let last = words(&["-c", "shared_preload_libraries=timescaledb,pg_cron"]);
        assert!(command.ends_with(&last), "{command:?}");
        assert!(command.contains(&"shared_buffers=256MB".to_owned()));
        let without = Recipe::Postgres.command(words(&["postgres"]), "", LIMITS);
        assert!(!without.concat().contains("preload"));
    }

    #[test]
    fn what_an_image_starts_beside_the_server_is_not_started() {
        let own = words(&["supervisord", "-n"]);
        assert_eq!(Recipe::Postgres.command(own, "", LIMITS)[0], "postgres");
        let named = words(&["/usr/sbin/mysqld"]);
        assert_eq!(
            Recipe::Mariadb.command(named, "", LIMITS)[0],
            "/usr/sbin/mysqld"
        );
        assert_eq!(Recipe::Mariadb.command(vec![], "", LIMITS)[0], "mariadbd");
    }
}
