//! One instance on one screen.

use std::time::Duration;

use super::{Archiver, Health, Instance};
use crate::{
    output::{
        Page,
        grid::{Grid, or_dash, plain, toned},
        paint::Tone,
        units,
    },
    view::{database, host::section},
};

pub(super) fn text(instance: &Instance, page: &Page) -> String {
    let (state, tone) = instance.state();
    let mut out = format!(
        "{}  {}\n",
        page.paint.tone(Tone::Strong, &instance.full_name()),
        page.paint.tone(tone, &state)
    );
    line(
        &mut out,
        "seen",
        &units::ago(page.now, instance.reported_at),
    );
    line(&mut out, "engine", instance.engine.label());
    line(&mut out, "container", &instance.container);
    line(&mut out, "reached by", &instance.reached_by);
    if instance.registered {
        line(&mut out, "registered", "by its address");
    }
    if let Some(health) = &instance.health {
        facts(&mut out, health, page);
        section(
            &mut out,
            page,
            "DATABASES",
            database::facts_table(&health.databases, page),
        );
        long_queries(&mut out, health, page);
        slots(&mut out, health, page);
        sources(&mut out, health, page);
    }
    out
}

fn facts(out: &mut String, health: &Health, page: &Page) {
    line(out, "version", &health.version);
    line(out, "started", &units::ago(page.now, health.started_at));
    line(
        out,
        "connections",
        &format!("{} of {}", health.connections_used, health.connections_max),
    );
    if let Some(percent) = health.disk_used_percent() {
        let tone = match percent {
            90.. => Tone::Bad,
            80.. => Tone::Warn,
            _ => Tone::Plain,
        };
        let used = page.paint.tone(tone, &format!("{percent} % used"));
        line(
            out,
            "disk",
            &format!(
                "{used}, {} free of {}",
                units::size(health.disk_free_bytes),
                units::size(health.disk_total_bytes)
            ),
        );
    }
    line(out, "data", &health.data_directory);
    line(out, "identifier", &health.system_identifier);
    if let Some(of) = &health.archiver {
        line(out, "archiver", &archiver(of, page));
    }
    if let Some(age) = health.transaction_id_age {
        line(out, "xid age", &units::count(age.into()));
    }
    if let Some(on) = health.checksums_on {
        let failures = health.checksum_failures.unwrap_or_default();
        line(out, "checksums", &checksums(on, failures, page));
    }
    if let Some(mariadb) = &health.mariadb {
        let on = |is: bool| if is { "on" } else { "off" };
        line(out, "read-only", on(mariadb.read_only));
        line(out, "binary log", on(mariadb.binary_log_on));
    }
    for untold in &health.untold {
        let told = format!("{}: {}", untold.part, untold.reason);
        line(out, "not told", &page.paint.tone(Tone::Warn, &told));
    }
}

fn checksums(on: bool, failures: u64, page: &Page) -> String {
    match (on, failures) {
        (false, _) => "off".to_owned(),
        (true, 0) => "on, no failure".to_owned(),
        (true, failures) => page.paint.tone(
            Tone::Bad,
            &format!("on, {}", units::plural(failures, "failure")),
        ),
    }
}

fn archiver(archiver: &Archiver, page: &Page) -> String {
    if !archiver.on {
        return "off".to_owned();
    }
    let mut text = format!("on, {} archived", units::count(archiver.archived));
    if archiver.failed > 0 {
        let when = units::ago(page.now, archiver.last_failed_at);
        text.push_str(&format!(
            ", {} failed, last failure {when} ({})",
            units::count(archiver.failed),
            archiver.last_failed_wal
        ));
    }
    text
}

fn long_queries(out: &mut String, health: &Health, page: &Page) {
    if health.long_queries.is_empty() {
        return;
    }
    let mut grid = Grid::new(page, &["PID", "FOR", "DATABASE", "USER", "STATEMENT"], "");
    for query in &health.long_queries {
        grid.row(vec![
            plain(query.pid),
            toned(
                Tone::Warn,
                units::span(Duration::try_from_secs_f64(query.seconds).unwrap_or_default()),
            ),
            plain(&query.database),
            plain(&query.user),
            plain(
                query
                    .statement
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" "),
            ),
        ]);
    }
    section(out, page, "LONG QUERIES", grid.render());
}

fn slots(out: &mut String, health: &Health, page: &Page) {
    let slots = health.slots.as_deref().unwrap_or_default();
    if slots.is_empty() {
        return;
    }
    let mut grid = Grid::new(page, &["SLOT", "KIND", "ACTIVE", "KEEPS"], "").right(&[3]);
    for slot in slots {
        grid.row(vec![
            plain(&slot.name),
            plain(&slot.kind),
            if slot.active {
                plain("yes")
            } else {
                toned(Tone::Warn, "no")
            },
            plain(units::size(slot.lag_bytes)),
        ]);
    }
    section(out, page, "REPLICATION SLOTS", grid.render());
}

fn sources(out: &mut String, health: &Health, page: &Page) {
    let sources = health
        .mariadb
        .as_ref()
        .map(|mariadb| mariadb.sources.as_slice());
    let sources = sources.unwrap_or_default();
    if sources.is_empty() {
        return;
    }
    let head = ["SOURCE", "RECEIVING", "APPLYING", "BEHIND", "ERROR"];
    let mut grid = Grid::new(page, &head, "");
    for source in sources {
        let runs = |is: bool| {
            if is {
                plain("yes")
            } else {
                toned(Tone::Warn, "no")
            }
        };
        let name = if source.name.is_empty() {
            source.address.clone()
        } else {
            format!("{} ({})", source.address, source.name)
        };
        let behind = source.lag_seconds.map(Duration::from_secs).map(units::span);
        grid.row(vec![
            plain(name),
            runs(source.receiving),
            runs(source.applying),
            or_dash(&behind.unwrap_or_default()),
            or_dash(&source.last_error),
        ]);
    }
    section(out, page, "REPLICATES FROM", grid.render());
}

fn line(out: &mut String, label: &str, value: &str) {
    if !value.is_empty() {
        out.push_str(&format!("  {label:<12} {value}\n"));
    }
}
