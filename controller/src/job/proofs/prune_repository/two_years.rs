//! Two years of daily backups in a real repository: what retention promises can be read on every day, and what
//! it costs to keep.

use std::collections::BTreeMap;

use super::real::{RealShelf, noise};
use crate::{
    catalog::BackupId,
    job::shelf::Shelf as _,
    retention::tests::two_years::{Day, TwoYears},
};

/// Of the database; one changes a day.
const PARTS: u64 = 100;
const PART_BYTES: usize = 16 << 10;

/// A database that changes by one per cent a day, and its repository.
struct Series {
    shelf: RealShelf,
    /// Which part a day changes.
    changes: fn(BackupId) -> u64,
    database: BTreeMap<String, Vec<u8>>,
    snapshots: BTreeMap<BackupId, String>,
    /// The part that was new in each.
    newest: BTreeMap<BackupId, String>,
    first_bytes: u64,
}

impl Series {
    async fn new(changes: fn(BackupId) -> u64) -> Self {
        let part = |number: u64| (name(number), noise(number, PART_BYTES));
        Self {
            shelf: RealShelf::new().await,
            changes,
            database: (0..PARTS).map(part).collect(),
            snapshots: BTreeMap::new(),
            newest: BTreeMap::new(),
            first_bytes: 0,
        }
    }

    async fn pass(&mut self, id: BackupId, day: &Day) {
        let part = name((self.changes)(id));
        let content = noise(1_000_000 + id, PART_BYTES);
        self.database.insert(part.clone(), content);
        if let Some(made) = day.made {
            let snapshot = self.shelf.write_parts(&self.database).await;
            self.snapshots.insert(made, snapshot);
            self.newest.insert(made, part);
            if self.first_bytes == 0 {
                self.first_bytes = self.shelf.size();
            }
        }
        let gone = day.gone.iter().map(|id| self.snapshots.remove(id).unwrap());
        let gone = gone.collect();
        let host = super::real::HOST.parse().unwrap();
        self.shelf.forget(&host, &gone).await.unwrap();
        if id.is_multiple_of(7) {
            self.shelf.prune(&host).await.unwrap();
        }
    }

    /// What retention counts is in the repository, nothing else is, and it is what was written.
    async fn assert_as_promised(&self, years: &TwoYears) {
        let wanted: Vec<_> = self.snapshots.keys().copied().collect();
        assert_eq!(years.there(), wanted);
        let named = self.snapshots.values().cloned().collect();
        assert_eq!(self.shelf.listed().await, named);
        for (id, snapshot) in &self.snapshots {
            let read = self.shelf.read_part(snapshot, &self.newest[id]).await;
            assert!(read == noise(1_000_000 + id, PART_BYTES), "backup {id}");
        }
    }

    /// Bytes stored for all that is kept, for each of one backup.
    async fn ratio(&self) -> f64 {
        // What went with the last ones is freed by the second run.
        let host = super::real::HOST.parse().unwrap();
        for _ in 0..2 {
            self.shelf.prune(&host).await.unwrap();
        }
        self.shelf.size() as f64 / self.first_bytes as f64
    }
}

fn name(part: u64) -> String {
    format!("orders.{part:04}")
}

async fn pass_two_years(changes: fn(BackupId) -> u64) -> f64 {
    let (mut years, mut series) = (TwoYears::new(), Series::new(changes).await);
    for (id, date) in TwoYears::dates() {
        let day = years.pass(id, date);
        series.pass(id, &day).await;
        if id.is_multiple_of(61) {
            series.assert_as_promised(&years).await;
        }
    }
    series.assert_as_promised(&years).await;
    series.shelf.assert_sound("after two years").await;
    let ratio = series.ratio().await;
    println!("kept after two years: {ratio:.2} times one backup");
    ratio
}

#[tokio::test(flavor = "multi_thread")]
async fn two_years_of_changes_in_one_place_cost_little() {
    let ratio = pass_two_years(|_| PARTS / 2).await;
    // 7 daily, 4 weekly, 12 monthly: some twenty versions of one hundredth.
    assert!((1.1..=1.6).contains(&ratio), "{ratio}");
}

/// Another part on every day: after four months nothing is as it was, and no chunking helps.
#[tokio::test(flavor = "multi_thread")]
async fn two_years_of_changes_everywhere_cost_what_is_different() {
    let ratio = pass_two_years(|id| id % PARTS).await;
    assert!((3.0..=6.5).contains(&ratio), "{ratio}");
}
