//! A restore that went well.

use super::{at, job_detail};
use crate::view::restore::{RestoreResult, Restoring};

pub(crate) fn restored() -> RestoreResult {
    let mut detail = job_detail();
    "restore-database".clone_into(&mut detail.job.kind);
    let restoring = Restoring {
        job: 42,
        backup: 12,
        source: "web-1/shop-db/shop".to_owned(),
        target: "web-2/shop-db/shop_test".to_owned(),
        taken_at: at("2026-11-20T06:00:00Z"),
    };
    RestoreResult::of(restoring, false, detail)
}
