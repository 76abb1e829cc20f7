//! Versioned migrations: applied once, in order, never changed afterwards.
//!
//! What the catalog has is compared with what the binary knows before anything is touched, under an
//! advisory lock, so that controllers that start at the same time do not meet.

use sqlx::{
    ConnectOptions, Connection, PgConnection, migrate::Migrator, postgres::PgConnectOptions,
};

static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// Any number, as long as nobody else in this database uses it.
const LOCK: i64 = 0x686f_6c64_0001;

/// A migration as the catalog has it, or as the binary knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    number: i64,
    description: String,
    checksum: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("the catalog cannot be reached to migrate it")]
    Query(#[source] sqlx::Error),
    #[error(
        "the catalog is at version {catalog}, newer than version {binary} that this holdfast-controller {program} knows; \
         nothing was changed. Run the newer holdfast-controller again, or restore the catalog's backup from before the upgrade",
        program = env!("CARGO_PKG_VERSION")
    )]
    Newer { catalog: i64, binary: i64 },
    #[error(
        "the catalog has a migration {number} ({description}) that this holdfast-controller does not know, though it knows later ones; \
         nothing was changed. Is this the catalog of another program? Check the catalog address"
    )]
    Foreign { number: i64, description: String },
    #[error(
        "migration {number} ({description}) was applied with another text than this holdfast-controller has; nothing was changed. \
         Migrations never change once released: run a released holdfast-controller"
    )]
    Altered { number: i64, description: String },
    #[error("the catalog could not be migrated; the migration that failed was rolled back")]
    Apply(#[source] sqlx::migrate::MigrateError),
}

/// The version that this binary brings a catalog to.
#[must_use]
pub fn latest_known() -> i64 {
    MIGRATOR
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0)
}

/// # Errors
/// When the catalog is newer, foreign or altered (nothing is changed then), or a migration fails (it is rolled back).
pub async fn run(options: &PgConnectOptions) -> Result<(), MigrateError> {
    run_these(&MIGRATOR, options).await
}

async fn run_these(migrator: &Migrator, options: &PgConnectOptions) -> Result<(), MigrateError> {
    // A connection of its own: the lock ends with it, whatever happens.
    let mut connection = options.connect().await.map_err(MigrateError::Query)?;
    sqlx::query("select pg_advisory_lock($1)")
        .bind(LOCK)
        .execute(&mut connection)
        .await
        .map_err(MigrateError::Query)?;
    let known = known(migrator);
    let applied = applied(&mut connection).await?;
    compare(&applied, &known)?;
    migrator
        .run(&mut connection)
        .await
        .map_err(MigrateError::Apply)?;
    if applied.len() < known.len() {
        tracing::info!(
            from = applied.last().map_or(0, |version| version.number),
            to = known.last().map_or(0, |version| version.number),
            "migrated the catalog"
        );
    }
    connection.close().await.map_err(MigrateError::Query)
}

fn known(migrator: &Migrator) -> Vec<Version> {
    migrator
        .iter()
        .filter(|migration| migration.migration_type.is_up_migration())
        .map(|migration| Version {
            number: migration.version,
            description: migration.description.to_string(),
            checksum: migration.checksum.to_vec(),
        })
        .collect()
}

async fn applied(connection: &mut PgConnection) -> Result<Vec<Version>, MigrateError> {
    let (exists,): (bool,) = sqlx::query_as("select to_regclass('_sqlx_migrations') is not null")
        .fetch_one(&mut *connection)
        .await
        .map_err(MigrateError::Query)?;
    if !exists {
        return Ok(Vec::new());
    }
    let rows: Vec<(i64, String, Vec<u8>)> = sqlx::query_as(
        "select version, description, checksum from _sqlx_migrations order by version",
    )
    .fetch_all(connection)
    .await
    .map_err(MigrateError::Query)?;
    Ok(rows
        .into_iter()
        .map(|(number, description, checksum)| Version {
            number,
            description,
            checksum,
        })
        .collect())
}

/// Whether this binary may work on a catalog with these versions. Both in rising order.
fn compare(applied: &[Version], known: &[Version]) -> Result<(), MigrateError> {
    let newest = known.last().map_or(0, |version| version.number);
    if let Some(version) = applied.last().filter(|version| version.number > newest) {
        return Err(MigrateError::Newer {
            catalog: version.number,
            binary: newest,
        });
    }
    for version in applied {
        let Some(same) = known.iter().find(|known| known.number == version.number) else {
            return Err(MigrateError::Foreign {
                number: version.number,
                description: version.description.clone(),
            });
        };
        if same.checksum != version.checksum {
            return Err(MigrateError::Altered {
                number: version.number,
                description: same.description.clone(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sha2::Digest;

    use super::*;
    use crate::catalog::testing::TestCatalog;

    fn versions(numbers: &[(i64, u8)]) -> Vec<Version> {
        numbers
            .iter()
            .map(|(number, checksum)| Version {
                number: *number,
                description: format!("number {number}"),
                checksum: vec![*checksum],
            })
            .collect()
    }

    #[test]
    fn an_older_or_equal_catalog_is_accepted() {
        let known = versions(&[(1, 1), (2, 2)]);
        for applied in [vec![], versions(&[(1, 1)]), known.clone()] {
            assert!(compare(&applied, &known).is_ok());
        }
    }

    #[test]
    fn a_newer_a_foreign_and_an_altered_catalog_are_refused() {
        let known = versions(&[(1, 1), (3, 3)]);
        let refused = |applied: &[(i64, u8)]| compare(&versions(applied), &known).unwrap_err();
        assert!(matches!(
            refused(&[(1, 1), (3, 3), (7, 7)]),
            MigrateError::Newer {
                catalog: 7,
                binary: 3
            }
        ));
        assert!(matches!(
            refused(&[(1, 1), (2, 2), (3, 3)]),
            MigrateError::Foreign { number: 2, .. }
        ));
        assert!(matches!(
            refused(&[(1, 9)]),
            MigrateError::Altered { number: 1, .. }
        ));
    }

    #[tokio::test]
    async fn migrations_apply_from_empty_and_again_and_at_once() {
        let empty = TestCatalog::empty().await;
        let (first, second) = tokio::join!(empty.migrate(), empty.migrate());
        first.unwrap();
        second.unwrap();
        empty.migrate().await.unwrap();
        let (applied,): (i64,) =
            sqlx::query_as("select count(*) from _sqlx_migrations where success")
                .fetch_one(&empty.pool)
                .await
                .unwrap();
        assert_eq!(usize::try_from(applied).unwrap(), MIGRATOR.iter().count());
    }

    #[tokio::test]
    async fn a_catalog_from_the_future_is_refused_and_left_alone() {
        let catalog = TestCatalog::new().await;
        sqlx::query(
            "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
             values (99999, 'from the future', true, '\\x00', 0)",
        )
        .execute(&catalog.pool)
        .await
        .unwrap();
        let error = catalog.migrate().await.unwrap_err().to_string();
        assert!(
            error.contains("99999") && error.contains(&latest_known().to_string()),
            "{error}"
        );
    }

    #[tokio::test]
    async fn an_altered_migration_is_refused() {
        let catalog = TestCatalog::new().await;
        sqlx::query("update _sqlx_migrations set checksum = '\\x00' where version = 1")
            .execute(&catalog.pool)
            .await
            .unwrap();
        assert!(matches!(
            catalog.migrate().await,
            Err(MigrateError::Altered { number: 1, .. })
        ));
    }

    /// What is wrong with the released migrations, by their seal: a checksum and a file a line.
    fn broken_seal(sealed: &str) -> Option<String> {
        let mut lines = sealed.lines().filter(|line| !line.starts_with('#'));
        lines.find_map(|line| {
            let (checksum, file) = line.split_once("  ").expect("checksum, two blanks, file");
            let number: i64 = file.split('_').next().unwrap().parse().unwrap();
            let mut known = MIGRATOR.iter();
            let Some(migration) = known.find(|migration| migration.version == number) else {
                return Some(format!("{file} was released and is gone"));
            };
            (hex::encode(&migration.checksum) != checksum)
                .then(|| format!("{file} was released and has changed: write a new migration"))
        })
    }

    /// `migrations/sealed` lists what was released. Sealing is `sha384sum`.
    #[test]
    fn sealed_migrations_have_not_changed() {
        assert_eq!(broken_seal(include_str!("../../migrations/sealed")), None);
    }

    /// The seal is empty before the first release: this makes one as a release does, and breaks it.
    #[test]
    fn a_seal_holds_what_sha384sum_says_and_notices_every_change() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let mut lines = Vec::new();
        for entry in std::fs::read_dir(&folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.starts_with('0') && name.ends_with(".sql") {
                let content = std::fs::read(folder.join(&name)).unwrap();
                let checksum = hex::encode(sha2::Sha384::digest(content));
                lines.push(format!("{checksum}  {name}"));
            }
        }
        assert_eq!(lines.len(), MIGRATOR.iter().count());
        let sealed = format!("# What was released\n{}\n", lines.join("\n"));
        assert_eq!(broken_seal(&sealed), None);
        let other = sealed.replacen(&lines[0][..96], &"0".repeat(96), 1);
        assert!(broken_seal(&other).unwrap().contains("has changed"));
        let gone = format!("{sealed}{}  0999_gone.sql\n", "0".repeat(96));
        assert_eq!(
            broken_seal(&gone).unwrap(),
            "0999_gone.sql was released and is gone"
        );
    }
}
