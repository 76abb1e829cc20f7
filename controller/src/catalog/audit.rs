//! Table `audit`: append, list, verify.

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use sqlx::FromRow;

use super::{Catalog, CatalogError};
use crate::audit::{Entry, Hash, Head, HeadError, NewEntry, Outcome, Verdict, Verifier};

/// Held while an entry is appended: several controllers write one chain.
const LOCK: i64 = 0x686f_6c64_0002;

#[derive(FromRow)]
struct Row {
    sequence: i64,
    at: DateTime<Utc>,
    actor: String,
    action: String,
    subject: String,
    outcome: String,
    detail: String,
    previous_hash: Vec<u8>,
    hash: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Head(#[from] HeadError),
}

impl Catalog {
    /// Appends to the audit log. Nothing secret belongs into it.
    ///
    /// # Errors
    /// When the catalog fails. That the head could not be noted in its file is only logged: what was done was done.
    pub async fn audit(
        &self,
        actor: &str,
        action: &str,
        subject: &str,
        outcome: Outcome,
        detail: &str,
    ) -> Result<Entry, CatalogError> {
        let content = NewEntry {
            at: self.clock.now(),
            actor: storable(actor),
            action: storable(action),
            subject: storable(subject),
            outcome,
            detail: storable(detail),
        };
        let entry = self
            .append(content)
            .await
            .map_err(CatalogError::doing("writing the audit log"))?;
        self.note_head(&entry).await;
        Ok(entry)
    }

    /// The newest entries, newest first.
    ///
    /// # Errors
    /// When the catalog fails, or a row holds what no controller writes.
    pub async fn list_audit(&self, limit: u32) -> Result<Vec<Entry>, CatalogError> {
        let failed = CatalogError::doing("reading the audit log");
        let rows: Vec<Row> = sqlx::query_as("select * from audit order by sequence desc limit $1")
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(&failed)?;
        rows.into_iter()
            .map(|row| Entry::try_from(row).map_err(&failed))
            .collect()
    }

    /// What was done and refused in that time, oldest first; without an end, until now.
    ///
    /// # Errors
    /// When the catalog fails, or a row holds what no controller writes.
    pub async fn audit_between(
        &self,
        from: DateTime<Utc>,
        to: Option<DateTime<Utc>>,
    ) -> Result<Vec<Entry>, CatalogError> {
        let failed = CatalogError::doing("reading the audit log");
        let rows: Vec<Row> = sqlx::query_as(
            "select * from audit where at >= $1 and at <= coalesce($2, 'infinity') order by sequence",
        )
        .bind(from)
        .bind(to)
        .fetch_all(&self.pool)
        .await
        .map_err(&failed)?;
        rows.into_iter()
            .map(|row| Entry::try_from(row).map_err(&failed))
            .collect()
    }

    /// Reads the whole chain and says whether it is whole and reaches as far as this controller noted.
    ///
    /// # Errors
    /// When the catalog or the file of the head cannot be read.
    pub async fn verify_audit(&self) -> Result<Verdict, VerifyError> {
        let failed = CatalogError::doing("verifying the audit log");
        // Before the rows: entries that come meanwhile are no contradiction.
        let head = self
            .audit_head
            .as_ref()
            .map(|file| file.read())
            .transpose()?
            .flatten();
        let mut verifier = Verifier::new(head);
        let mut rows =
            sqlx::query_as::<_, Row>("select * from audit order by sequence").fetch(&self.pool);
        while let Some(row) = rows.try_next().await.map_err(&failed)? {
            verifier.read(&Entry::try_from(row).map_err(&failed)?);
        }
        Ok(verifier.finish())
    }

    /// Compares the log with what was noted outside of the database, at start: what contradicts is
    /// told and kept, and the controller goes on, because a fleet must not be without one for it.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn check_audit_head(&self) -> Result<(), CatalogError> {
        let Some(noted) = self.noted_head() else {
            return Ok(());
        };
        let hash: Option<(Vec<u8>,)> = sqlx::query_as("select hash from audit where sequence = $1")
            .bind(noted.sequence.cast_signed())
            .fetch_optional(&self.pool)
            .await
            .map_err(CatalogError::doing("comparing the audit log with its head"))?;
        if hash.is_none_or(|(hash,)| hash != noted.hash.0) {
            self.contradicted(noted);
        }
        Ok(())
    }

    async fn append(&self, content: NewEntry) -> Result<Entry, sqlx::Error> {
        // Before the look at the log, which can only have grown since.
        let noted = self.noted_head();
        let mut transaction = self.begin().await?;
        sqlx::query("select pg_advisory_xact_lock($1)")
            .bind(LOCK)
            .execute(&mut *transaction)
            .await?;
        let last: Option<Row> =
            sqlx::query_as("select * from audit order by sequence desc limit 1")
                .fetch_optional(&mut *transaction)
                .await?;
        let (sequence, previous) = match last.map(Entry::try_from).transpose()? {
            Some(last) => (last.sequence, last.hash),
            None => (0, Hash::START),
        };
        if let Some(noted) = noted.filter(|noted| noted.sequence > sequence) {
            self.contradicted(noted);
        }
        let entry = Entry::after(sequence, previous, content);
        sqlx::query(
            "insert into audit (sequence, at, actor, action, subject, outcome, detail, previous_hash, hash)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(entry.sequence.cast_signed())
        .bind(entry.content.at)
        .bind(&entry.content.actor)
        .bind(&entry.content.action)
        .bind(&entry.content.subject)
        .bind(entry.content.outcome.as_str())
        .bind(&entry.content.detail)
        .bind(entry.previous.0.as_slice())
        .bind(entry.hash.0.as_slice())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(entry)
    }

    fn noted_head(&self) -> Option<Head> {
        self.audit_head.as_ref().and_then(|file| file.noted())
    }

    fn contradicted(&self, noted: Head) {
        let Some(file) = self
            .audit_head
            .as_ref()
            .filter(|file| file.keep_as_evidence())
        else {
            return;
        };
        tracing::error!(
            entry = noted.sequence,
            hash = %noted.hash,
            file = %file.path().display(),
            "the audit log was cut or written anew: this controller has seen an entry that is not in it. \
             The file is kept as it is; look into it (ctl audit verify), and move the file away when you \
             know why, for example after the catalog was restored from a backup"
        );
    }

    async fn note_head(&self, entry: &Entry) {
        let Some(file) = self.audit_head.clone() else {
            return;
        };
        let head = Head {
            sequence: entry.sequence,
            hash: entry.hash,
        };
        match tokio::task::spawn_blocking(move || file.note(head)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the newest hash of the audit log could not be kept outside of the catalog"
                );
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the newest hash of the audit log was not kept outside of the catalog"
                );
            }
        }
    }
}

impl TryFrom<Row> for Entry {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let Row {
            sequence,
            at,
            actor,
            action,
            subject,
            outcome,
            detail,
            previous_hash,
            hash,
        } = row;
        let wrong =
            |what: &str| sqlx::Error::Decode(format!("audit entry {sequence}: {what}").into());
        let as_hash = |bytes: Vec<u8>| {
            bytes
                .try_into()
                .map(Hash)
                .map_err(|_| wrong("a hash has not 32 bytes"))
        };
        Ok(Self {
            sequence: u64::try_from(sequence).map_err(|_| wrong("a negative sequence"))?,
            content: NewEntry {
                at,
                actor,
                action,
                subject,
                outcome: Outcome::parse(&outcome)
                    .ok_or_else(|| wrong("an outcome that is none"))?,
                detail,
            },
            previous: as_hash(previous_hash)?,
            hash: as_hash(hash)?,
        })
    }
}

/// PostgreSQL keeps no zero bytes in texts; what strangers send must not keep a refusal out of the log.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{audit::HeadFile, catalog::testing::TestCatalog};

    async fn append(catalog: &Catalog, count: u32) {
        for number in 0..count {
            catalog
                .audit(
                    "operator/alice",
                    "host.enrol",
                    &format!("web-{number}"),
                    Outcome::Ok,
                    "",
                )
                .await
                .unwrap();
        }
    }

    #[tokio::test]
    async fn what_is_appended_is_listed_newest_first_and_verifies() {
        let catalog = TestCatalog::new().await;
        assert_eq!(
            catalog.verify_audit().await.unwrap(),
            Verdict {
                entries: 0,
                broken: None
            }
        );
        append(&catalog, 3).await;
        let last = catalog
            .audit("10.0.0.7:5\0", "tls.refused", "", Outcome::Refused, "ä")
            .await
            .unwrap();
        let listed = catalog.list_audit(2).await.unwrap();
        assert_eq!(
            listed
                .iter()
                .map(|entry| entry.sequence)
                .collect::<Vec<_>>(),
            [4, 3]
        );
        assert_eq!(listed[0], last);
        assert_eq!(
            catalog.verify_audit().await.unwrap(),
            Verdict {
                entries: 4,
                broken: None
            }
        );
    }

    #[tokio::test]
    async fn several_controllers_keep_one_chain() {
        let catalog = TestCatalog::new().await;
        let other = Catalog::connect(catalog.options(), catalog.clock.clone())
            .await
            .unwrap();
        let writers = (0..8).map(|number| {
            let catalog = if number % 2 == 0 {
                (*catalog).clone()
            } else {
                other.clone()
            };
            tokio::spawn(async move { append(&catalog, 10).await })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        assert_eq!(
            catalog.verify_audit().await.unwrap(),
            Verdict {
                entries: 80,
                broken: None
            }
        );
    }

    #[tokio::test]
    async fn the_table_refuses_every_change() {
        let catalog = TestCatalog::new().await;
        append(&catalog, 2).await;
        for statement in [
            "update audit set detail = 'x' where sequence = 1",
            "delete from audit where sequence = 2",
            "truncate audit",
        ] {
            let error = sqlx::query(statement)
                .execute(&catalog.pool)
                .await
                .unwrap_err()
                .to_string();
            assert!(error.contains("append-only"), "{statement}: {error}");
        }
    }

    #[tokio::test]
    async fn tampering_past_the_trigger_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("head.json");
        let catalog = TestCatalog::new().await;
        let catalog = (*catalog)
            .clone()
            .with_audit_head(HeadFile::open(&path).unwrap());
        append(&catalog, 5).await;
        assert_eq!(catalog.verify_audit().await.unwrap().broken, None);
        let broken = async |statement: &'static str| {
            let mut transaction = catalog.begin().await.unwrap();
            sqlx::query("alter table audit disable trigger user")
                .execute(&mut *transaction)
                .await
                .unwrap();
            sqlx::query(statement)
                .execute(&mut *transaction)
                .await
                .unwrap();
            transaction.commit().await.unwrap();
            catalog
                .verify_audit()
                .await
                .unwrap()
                .broken
                .map(|broken| broken.sequence)
        };
        assert_eq!(
            broken("delete from audit where sequence = 5").await,
            Some(5)
        );
        assert_eq!(
            broken("update audit set subject = 'web-9' where sequence = 3").await,
            Some(3)
        );
        assert_eq!(
            broken("delete from audit where sequence = 2").await,
            Some(2)
        );
    }

    #[tokio::test]
    async fn a_log_that_was_cut_does_not_grow_over_the_evidence() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("head.json");
        let whole = TestCatalog::new().await;
        let catalog = (*whole)
            .clone()
            .with_audit_head(HeadFile::open(&path).unwrap());
        append(&catalog, 3).await;
        let cut = async || {
            let mut transaction = whole.begin().await.unwrap();
            for statement in [
                "alter table audit disable trigger user",
                "delete from audit where sequence > 1",
                "alter table audit enable trigger user",
            ] {
                sqlx::query(statement)
                    .execute(&mut *transaction)
                    .await
                    .unwrap();
            }
            transaction.commit().await.unwrap();
        };
        cut().await;
        // While it runs, and again after a start with a log that has outgrown the note.
        append(&catalog, 5).await;
        assert_eq!(
            catalog
                .verify_audit()
                .await
                .unwrap()
                .broken
                .unwrap()
                .sequence,
            3
        );
        let again = (*whole)
            .clone()
            .with_audit_head(HeadFile::open(&path).unwrap());
        again.check_audit_head().await.unwrap();
        append(&again, 1).await;
        assert_eq!(
            again.verify_audit().await.unwrap().broken.unwrap().sequence,
            3
        );
    }
}
