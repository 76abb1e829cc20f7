//! Is there room for the image on the target?

use holdfast_chassis::units;
use holdfast_proto::task::DatabaseFacts;

use super::PreflightLine;

/// For WAL, sorting and what grows meanwhile.
const RESERVE: u64 = 512 << 20;

/// `source`: as it is, or as it was when it was backed up.
pub fn ask(
    schema_only: bool,
    source: &DatabaseFacts,
    target: &DatabaseFacts,
    lines: &mut Vec<PreflightLine>,
) {
    const QUESTION: &str = "target has room";
    let needed = needed(schema_only, source.size_bytes);
    let estimate = format!("about {} needed", mebibytes(needed));
    lines.push(match target.disk_free_bytes {
        Some(free) if free >= needed => {
            let detail = format!("{estimate}, {} free", mebibytes(free));
            PreflightLine::passed(QUESTION, detail)
        }
        Some(free) => PreflightLine::failed(
            QUESTION,
            format!("{estimate}, only {} free", mebibytes(free)),
            "make room on the target's data volume, or take less of it (--table)",
        ),
        None => PreflightLine::warning(
            QUESTION,
            format!("{estimate}; could not check: the agent cannot see the server's disk"),
            "make sure that there is room before you go on",
        ),
    });
}

/// Bytes that the image may take: its data with a fifth on top, and a reserve.
pub fn needed(schema_only: bool, size_bytes: u64) -> u64 {
    let data = if schema_only { 0 } else { size_bytes };
    data.saturating_add(data / 5).saturating_add(RESERVE)
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", units::count(bytes.div_ceil(1 << 20)))
}
