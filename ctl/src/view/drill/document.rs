//! The report as a document: the same sections as Markdown and as a page.

use std::time::Duration;

use chrono::{DateTime, Utc};
use holdfast_proto::drill::{DrillKind, DrillReport, DrilledBackup};

use super::SignedReport;
use crate::output::units;

/// A title, and rows of so many cells each; the first row is the head.
struct Table {
    title: &'static str,
    rows: Vec<Vec<String>>,
}

const HOW_TO_VERIFY: [&str; 5] = [
    "ctl drill report NUMBER --format json > report.json",
    "jq -j .statement report.json > statement.json",
    "jq -r .signature report.json | base64 -d > statement.sig",
    "jq -r .certificate report.json | openssl x509 -pubkey -noout > authority.pem",
    "openssl dgst -sha256 -verify authority.pem -signature statement.sig statement.json",
];

pub(super) fn markdown(signed: &SignedReport) -> String {
    let mut text = format!(
        "# {}\n\n{}\n",
        title(&signed.report),
        summary(&signed.report)
    );
    for table in tables(&signed.report) {
        text.push_str(&format!("\n## {}\n\n", table.title));
        for (place, row) in table.rows.iter().enumerate() {
            let cells: Vec<_> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
            text.push_str(&format!("| {} |\n", cells.join(" | ")));
            if place == 0 {
                text.push_str(&format!("|{}\n", "---|".repeat(row.len())));
            }
        }
    }
    text.push_str(&format!(
        "\n## Signature\n\n{} over the statement below, by the key of the controller's authority:\n\n```\n{}\n```\n\n",
        signed.algorithm, signed.signature
    ));
    text.push_str(&format!(
        "To verify it:\n\n```\n{}\n```\n\n",
        HOW_TO_VERIFY.join("\n")
    ));
    text.push_str(&format!(
        "## Statement\n\n```json\n{}\n```\n\n",
        signed.statement
    ));
    text.push_str(&format!(
        "## Authority\n\n```\n{}\n```\n",
        signed.certificate.trim()
    ));
    text
}

pub(super) fn html(signed: &SignedReport) -> String {
    let title = escaped(&title(&signed.report));
    let mut text = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n<style>body{{font-family:sans-serif;\
         margin:2em auto;max-width:60em}}table{{border-collapse:collapse}}td,th{{border:1px solid #999;padding:.3em .6em;\
         text-align:left;vertical-align:top}}pre{{background:#eee;padding:1em;overflow:auto}}</style></head><body>\n\
         <h1>{title}</h1>\n<p>{}</p>\n",
        escaped(&summary(&signed.report))
    );
    for table in tables(&signed.report) {
        text.push_str(&format!("<h2>{}</h2>\n<table>\n", escaped(table.title)));
        for (place, row) in table.rows.iter().enumerate() {
            let tag = if place == 0 { "th" } else { "td" };
            let cells = row
                .iter()
                .map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell)));
            text.push_str(&format!("<tr>{}</tr>\n", cells.collect::<String>()));
        }
        text.push_str("</table>\n");
    }
    let mut block = |title: &str, content: &str| {
        text.push_str(&format!(
            "<h2>{title}</h2>\n<pre>{}</pre>\n",
            escaped(content)
        ));
    };
    block(
        "Signature",
        &format!("{}\n{}", signed.algorithm, signed.signature),
    );
    block("How to verify it", &HOW_TO_VERIFY.join("\n"));
    block("Statement", &signed.statement);
    block("Authority", signed.certificate.trim());
    text.push_str("</body></html>\n");
    text
}

fn title(report: &DrillReport) -> String {
    let what = match report.kind {
        DrillKind::Backup => "Restore drill",
        DrillKind::Rebuild => "Rebuild drill",
        DrillKind::Offsite => "Off-site drill",
    };
    format!("{what} {}: {}", report.drill, report.verdict.title())
}

fn summary(report: &DrillReport) -> String {
    let on = report.host.as_deref().unwrap_or("no host");
    let began = moment(report.started_at);
    let what = match (&report.backup, report.kind) {
        (Some(backup), _) => format!(
            "Backup {} of {}, taken {}, was restored on {on} on {began}",
            backup.id,
            report.subject,
            moment(backup.taken_at)
        ),
        (None, DrillKind::Offsite) => format!(
            "Every byte of the repository of {} was to be read on {began}",
            report.subject
        ),
        (None, DrillKind::Rebuild | DrillKind::Backup) => format!(
            "Everything of {} was to be restored on {on} on {began}",
            report.subject
        ),
    };
    match report.broken {
        None => format!("{what}, and everything was found as it was backed up."),
        Some(rung) => format!("{what}. {}: {}.", rung.title(), report.reason),
    }
}

fn tables(report: &DrillReport) -> Vec<Table> {
    let pairs = |title, pairs: Vec<(&str, String)>| {
        let mut rows = vec![vec!["What".to_owned(), "Value".to_owned()]];
        rows.extend(
            pairs
                .into_iter()
                .map(|(what, value)| vec![what.to_owned(), value]),
        );
        Table { title, rows }
    };
    let head = ["Rung", "Outcome", "Found"].map(str::to_owned).to_vec();
    let mut rungs = vec![head];
    rungs.extend(report.rungs.iter().map(|rung| {
        let found = match rung.findings.as_slice() {
            [] | [_] => rung.detail.clone(),
            several => several.join("; "),
        };
        vec![
            rung.name.title().to_owned(),
            rung.outcome.as_str().to_owned(),
            found,
        ]
    }));
    let mut tables = vec![Table {
        title: "Rungs",
        rows: rungs,
    }];
    tables.extend(parts(report));
    if let Some(backup) = &report.backup {
        tables.push(pairs("Backup", backup_rows(report, backup)));
    }
    tables.push(pairs("Times", times(report)));
    tables.push(pairs("Where", place(report)));
    tables
}

/// Every backup with how it came out, and every rung of each that has its own.
fn parts(report: &DrillReport) -> Vec<Table> {
    if report.parts.is_empty() {
        return Vec::new();
    }
    let head = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect();
    let mut all: Vec<Vec<String>> = vec![head(&[
        "Of", "Backup", "Kind", "Taken", "Snapshot", "Bytes", "Outcome", "Took", "Image", "Server",
        "Found",
    ])];
    let mut rungs: Vec<Vec<String>> = vec![head(&["Of", "Rung", "Outcome", "Found"])];
    for part in &report.parts {
        let took = part.times.took_ms.map(span);
        let server = part.server.as_ref();
        let image = server.map(|server| format!("{} {}", server.image, server.image_id));
        all.push(vec![
            part.subject.clone(),
            part.backup.to_string(),
            part.kind.clone(),
            moment(part.taken_at),
            part.snapshot.clone(),
            part.bytes.to_string(),
            part.outcome.as_str().to_owned(),
            took.unwrap_or_else(|| "-".to_owned()),
            image.unwrap_or_else(|| "-".to_owned()),
            server.map_or_else(|| "-".to_owned(), |server| server.version.clone()),
            part.detail.clone(),
        ]);
        rungs.extend(part.rungs.iter().map(|rung| {
            vec![
                part.subject.clone(),
                rung.name.title().to_owned(),
                rung.outcome.as_str().to_owned(),
                rung.detail.clone(),
            ]
        }));
    }
    let mut tables = vec![Table {
        title: "Backups",
        rows: all,
    }];
    if rungs.len() > 1 {
        tables.push(Table {
            title: "Rungs of each backup",
            rows: rungs,
        });
    }
    tables
}

fn backup_rows(report: &DrillReport, backup: &DrilledBackup) -> Vec<(&'static str, String)> {
    let is_volume = backup.kind == "volume";
    let mut rows = vec![
        ("number", backup.id.to_string()),
        (
            if is_volume { "volume" } else { "database" },
            report.subject.clone(),
        ),
        ("kind", backup.kind.clone()),
        ("taken", moment(backup.taken_at)),
        ("stored", moment(backup.stored_at)),
        ("snapshot in the repository", backup.snapshot.clone()),
    ];
    rows.extend(if is_volume {
        vec![
            ("files", backup.files.to_string()),
            ("bytes", backup.bytes.to_string()),
            ("fingerprint of the list", backup.fingerprint.clone()),
        ]
    } else {
        vec![
            ("write-ahead log position", backup.lsn.clone()),
            ("tables", backup.tables.to_string()),
            ("rows", backup.rows.to_string()),
            ("bytes", backup.bytes.to_string()),
            ("schema hash", backup.schema_hash.clone()),
        ]
    });
    rows
}

/// Measured and wanted, side by side.
pub(super) fn times(report: &DrillReport) -> Vec<(&'static str, String)> {
    let times = &report.times;
    let against = |measured: Option<u64>, target: Option<u64>| match (measured, target) {
        (None, _) => "not measured".to_owned(),
        (Some(measured), None) => format!("{}; no target", span(measured)),
        (Some(measured), Some(target)) => {
            let holds = if measured <= target {
                "holds"
            } else {
                "broken"
            };
            format!("{}; target {}: {holds}", span(measured), span(target))
        }
    };
    // Nothing is recovered by reading.
    let mut rows = match report.kind {
        DrillKind::Offsite => Vec::new(),
        DrillKind::Backup | DrillKind::Rebuild => vec![
            (
                "recovery time (RTO)",
                against(times.took_ms, report.targets.rto_ms),
            ),
            (
                "age of the backup (RPO)",
                against(times.rpo_ms, report.targets.rpo_ms),
            ),
        ],
    };
    let parts = [
        ("  fetch", times.fetch_ms),
        ("  restore", times.restore_ms),
        ("  index", times.index_ms),
        ("  check", times.check_ms),
        ("reading every byte first", times.read_ms),
    ];
    rows.extend(
        parts
            .into_iter()
            .filter_map(|(what, time)| Some((what, span(time?)))),
    );
    rows
}

fn place(report: &DrillReport) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if let Some(host) = &report.host {
        rows.push(("host", host.clone()));
    }
    // A volume is restored beside everything else: nothing runs with it.
    let servers = report.parts.iter().any(|part| part.server.is_some());
    if servers || report.server.is_some() {
        rows.push(("network", "none".to_owned()));
    }
    if let Some(server) = &report.server {
        let cpus = u32::try_from(server.limits.cpu_millis).unwrap_or(u32::MAX);
        rows.extend([
            ("image", server.image.clone()),
            ("image id", server.image_id.clone()),
            ("processors", format!("{:.1}", f64::from(cpus) / 1_000.0)),
            ("memory in bytes", server.limits.memory_bytes.to_string()),
            ("server", server.version.clone()),
            ("server of the backup", server.source_version.clone()),
        ]);
    }
    rows.extend([
        ("controller", report.controller.clone()),
        ("job", report.job.to_string()),
        ("began", moment(report.started_at)),
        ("ended", moment(report.ended_at)),
    ]);
    rows
}

fn moment(at: DateTime<Utc>) -> String {
    format!("{} UTC", at.format("%F %H:%M:%S"))
}

fn span(milliseconds: u64) -> String {
    if milliseconds < 120_000 {
        let seconds = Duration::from_millis(milliseconds).as_secs_f64();
        return format!("{seconds:.1} s");
    }
    units::span(Duration::from_millis(milliseconds))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
