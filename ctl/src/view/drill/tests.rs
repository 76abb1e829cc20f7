use super::*;
use crate::{output::testing::page, view::samples::drill as samples};

#[test]
fn the_list_names_the_first_broken_rung() {
    let text = DrillList {
        drills: vec![samples::line(State::Damaged), samples::line(State::Running)],
    }
    .text(&page());
    assert!(
        text.contains("DAMAGED") && text.contains("running"),
        "{text}"
    );
    assert!(text.contains("row counts are equal"), "{text}");
}

#[test]
fn a_drill_shows_every_rung_and_what_is_wrong() {
    let text = samples::detail().text(&page());
    let head = "✗ drill 3: backup 12 of web-1/shop-db/shop is damaged: row counts are equal: public.users has 4 999 rows";
    assert!(text.starts_with(head), "{text}");
    for part in [
        "  ✓ repository data intact",
        "  ✗ row counts are equal",
        "  ? indexes and constraints are sound",
        "      public.orders has 2 rows instead of 3",
        "recovery time (RTO)                  12.0 s; target 30.0 s: holds",
        "age of the backup (RPO)              1 h",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn an_off_site_drill_names_the_backups_that_are_hit_and_invents_no_backup_of_its_own() {
    let detail = DrillDetail {
        drill: samples::offsite_line(),
        report: Some(samples::offsite()),
    };
    let text = detail.text(&page());
    for part in [
        "✗ drill 3: the repository of web-1 is damaged: repository data intact: data/ab12 is gone",
        "  ✗ web-1/shop-db/shop (backup 12, taken 2026-11-20 10:00:00 UTC): table orders: data/ab12",
        "reading every byte first             0.9 s",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(!text.contains("crm"), "{text}");
    assert!(!text.contains("recovery time"), "{text}");
    let listed = DrillList {
        drills: vec![samples::offsite_line()],
    };
    let listed = listed.text(&page());
    assert!(listed.contains("offsite  web-1  -"), "{listed}");
    let md = document::markdown(&SignedReport {
        report: samples::offsite(),
        ..samples::signed()
    });
    for part in [
        "# Off-site drill 3: damaged",
        "## Backups",
        "| web-1/crm-db/crm | 13 |",
    ] {
        assert!(md.contains(part), "{part:?} is not in\n{md}");
    }
    assert!(!md.contains("write-ahead log"), "{md}");
}

#[test]
fn a_rebuild_shows_what_came_back_from_which_backup_and_what_has_none() {
    let detail = samples::rebuilt();
    let text = detail.text(&page());
    for part in [
        "✗ drill 3: the rebuild of web-1 is incomplete: everything has a backup: web-1/shop-db/crm: there is no backup",
        "  ✓ every database is back",
        "  ✓ web-1/shop-db/shop (backup 12, taken 2026-11-20 10:00:00 UTC, in 12 s): back, and as it was",
        "recovery time (RTO)",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let md = document::markdown(&SignedReport {
        report: detail.report.expect("a report"),
        ..samples::signed()
    });
    for part in [
        "# Rebuild drill 3: incomplete",
        "| web-1/shop-db/shop | 12 | full | 2026-11-20 10:00:00 UTC | 5a01 |",
        "| web-1/shop-db/shop | row counts are equal | passed | 5 003 rows |",
        "postgres:17 sha256:ab",
    ] {
        assert!(md.contains(part), "{part:?} is not in\n{md}");
    }
}

#[test]
fn the_exit_code_is_the_verdict() {
    let of = |state, job| {
        let mut detail = samples::detail();
        detail.drill.state = state;
        detail.exit(job)
    };
    assert_eq!(of(State::Proven, Exit::Ok), Exit::Ok);
    assert_eq!(of(State::Proven, Exit::Stuck), Exit::Stuck);
    assert_eq!(of(State::Damaged, Exit::JobFailed), Exit::NotProven);
    assert_eq!(of(State::Incomplete, Exit::JobFailed), Exit::NotProven);
    assert_eq!(of(State::CouldNotRun, Exit::JobFailed), Exit::CouldNotCheck);
    assert_eq!(of(State::CouldNotRun, Exit::Cancelled), Exit::Cancelled);
}

#[test]
fn both_documents_say_the_same_and_carry_the_statement_and_its_signature() {
    let signed = samples::signed();
    let of = |format| {
        Report {
            signed: signed.clone(),
            format,
        }
        .text(&page())
    };
    let (md, html) = (of(Format::Markdown), of(Format::Html));
    for part in [
        "Restore drill 3: damaged",
        "public.orders has 2 rows instead of 3",
        "c2lnbmVk",
        "sha256:ab",
        "openssl dgst -sha256 -verify",
        "12.0 s; target 30.0 s: holds",
    ] {
        assert!(md.contains(part), "{part:?} is not in\n{md}");
        assert!(html.contains(part), "{part:?} is not in\n{html}");
    }
    assert!(md.contains(&signed.statement));
    let json: serde_json::Value = serde_json::from_str(&of(Format::Json)).expect("JSON");
    assert_eq!(json["statement"], signed.statement);
}

#[test]
fn what_operators_wrote_breaks_no_document() {
    let mut signed = samples::signed();
    signed.report.rungs[0].detail = "<script>alert(1)</script> | a".to_owned();
    let of = |format| {
        Report {
            signed: signed.clone(),
            format,
        }
        .text(&page())
    };
    assert!(!of(Format::Html).contains("<script>"));
    assert!(of(Format::Markdown).contains("\\| a"));
}

#[test]
fn a_report_of_a_later_version_is_told_apart() {
    let read = |text: &str| SignedReport::read(text.to_owned(), b"x", String::new()).unwrap_err();
    assert!(read("{\"format\": 3}").contains("upgrade ctl"));
    assert!(read("{}").contains("no report"));
    assert!(read("nothing").contains("no JSON"));
}
