//! One instance on one screen.

use std::time::Duration;

use super::{Archiver, Health, Instance};
use crate::{
    output::{
        Page,
        grid::{Grid, plain, toned},
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
    line(out, "archiver", &archiver(&health.archiver, page));
    line(
        out,
        "xid age",
        &units::count(health.transaction_id_age.into()),
    );
    let checksums = match (health.checksums_on, health.checksum_failures) {
        (false, _) => "off".to_owned(),
        (true, 0) => "on, no failure".to_owned(),
        (true, failures) => page.paint.tone(
            Tone::Bad,
            &format!("on, {}", units::plural(failures, "failure")),
        ),
    };
    line(out, "checksums", &checksums);
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
    if health.slots.is_empty() {
        return;
    }
    let mut grid = Grid::new(page, &["SLOT", "KIND", "ACTIVE", "KEEPS"], "").right(&[3]);
    for slot in &health.slots {
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

fn line(out: &mut String, label: &str, value: &str) {
    if !value.is_empty() {
        out.push_str(&format!("  {label:<12} {value}\n"));
    }
}
