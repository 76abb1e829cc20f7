//! Each question of the preflight: what passes, warns and fails.

use std::time::Duration;

use holdfast_proto::{
    fleet::Engine,
    image::ProofLevel,
    task::{Collation, DatabaseFacts, Extension, FailureKind, Role, Selection, TaskFailure},
};
use proptest::prelude::*;

use super::{Inputs, PreflightVerdict, examine, refusal, room::needed};
use crate::job::CopyDatabase;

fn request() -> CopyDatabase {
    CopyDatabase {
        source: "web-1/shop-db/shop".parse().unwrap(),
        target: "web-2/shop-db/shop_test".parse().unwrap(),
        replace: false,
        keep: Duration::from_hours(24),
        proof: ProofLevel::Full,
        dry_run: false,
        selection: Selection::default(),
        jobs: 0,
        bandwidth: 0,
    }
}

fn extension(name: &str, versions: &[&str]) -> Extension {
    Extension {
        name: name.to_owned(),
        versions: versions.iter().map(ToString::to_string).collect(),
    }
}

fn role(name: &str) -> Role {
    Role {
        name: name.to_owned(),
        login: true,
        ..Role::default()
    }
}

fn source() -> DatabaseFacts {
    DatabaseFacts {
        system_identifier: "7100000000000000001".to_owned(),
        server_version: "15.14".to_owned(),
        version_num: 150_014,
        is_superuser: true,
        exists: true,
        owner: "shop".to_owned(),
        encoding: "UTF8".to_owned(),
        collate: "en_US.UTF-8".to_owned(),
        ctype: "en_US.UTF-8".to_owned(),
        locale_provider: "libc".to_owned(),
        size_bytes: 1 << 30,
        disk_free_bytes: Some(1 << 40),
        extensions: vec![extension("pg_trgm", &["1.6"])],
        roles: vec![role("shop")],
        tablespaces: vec!["pg_default".to_owned()],
        table_count: 7,
        tools: "pg_dump 15.14".to_owned(),
        cpus: 2,
        ..DatabaseFacts::default()
    }
}

fn target() -> DatabaseFacts {
    DatabaseFacts {
        system_identifier: "7200000000000000002".to_owned(),
        server_version: "17.6".to_owned(),
        version_num: 170_006,
        exists: false,
        locales: vec!["C".to_owned(), "en_US.utf8".to_owned()],
        extensions: vec![extension("pg_trgm", &["1.6", "1.5"])],
        roles: vec![role("shop"), role("postgres")],
        databases: vec!["postgres".to_owned(), "template1".to_owned()],
        tools: "pg_restore 17.6".to_owned(),
        ..source()
    }
}

/// Verdicts other than passed, as "question: detail".
fn complaints(
    change: impl FnOnce(&mut CopyDatabase, &mut DatabaseFacts, &mut DatabaseFacts),
) -> Vec<(PreflightVerdict, String)> {
    let (mut request, mut source, mut target) = (request(), source(), target());
    change(&mut request, &mut source, &mut target);
    let lines = examine(&Inputs {
        job: 7,
        request: &request,
        source: Ok(&source),
        target: Ok(&target),
    });
    lines
        .into_iter()
        .filter(|line| line.verdict != PreflightVerdict::Passed)
        .map(|line| (line.verdict, format!("{}: {}", line.question, line.detail)))
        .collect()
}

#[track_caller]
fn one(
    verdict: PreflightVerdict,
    says: &str,
    change: impl FnOnce(&mut CopyDatabase, &mut DatabaseFacts, &mut DatabaseFacts),
) {
    let found = complaints(change);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, verdict, "{found:?}");
    assert!(found[0].1.contains(says), "{found:?}");
}

use PreflightVerdict::{Failed, Warning};

#[test]
fn a_good_pair_has_no_complaint() {
    assert_eq!(complaints(|_, _, _| {}), []);
}

#[test]
fn a_side_that_cannot_be_reached_is_its_own_line_and_the_other_is_checked_all_the_same() {
    let away = TaskFailure {
        kind: FailureKind::Unavailable,
        message: "web-2 is not connected".to_owned(),
        advice: "look at it".to_owned(),
        retryable: true,
    };
    let source = DatabaseFacts {
        unreadable: vec!["public.secrets".to_owned()],
        ..source()
    };
    let lines = examine(&Inputs {
        job: 7,
        request: &request(),
        source: Ok(&source),
        target: Err(&away),
    });
    let failed: Vec<_> = lines.iter().filter(|l| l.verdict == Failed).collect();
    assert_eq!(failed.len(), 2);
    assert!(
        failed[1]
            .detail
            .contains("could not check web-2/shop-db/shop_test")
    );
    let refusal = refusal(&lines, true).unwrap();
    assert_eq!(refusal.kind, FailureKind::Unavailable);
    assert!(
        refusal.message.contains("(and 1 more)"),
        "{}",
        refusal.message
    );
}

#[test]
fn all_failures_come_at_once() {
    let found = complaints(|request, source, target| {
        request.target.database = "x".repeat(64);
        source.unreadable = vec!["public.secrets".to_owned()];
        target.in_recovery = true;
        target.version_num = 140_000;
        target.disk_free_bytes = Some(0);
        target.extensions.clear();
        target.tools_error = "no pg_restore".to_owned();
    });
    assert_eq!(
        found
            .iter()
            .filter(|(verdict, _)| *verdict == Failed)
            .count(),
        7,
        "{found:?}"
    );
}

#[test]
fn source_must_exist_and_be_readable_whole() {
    one(Failed, "does not exist", |_, source, _| {
        source.exists = false
    });
    one(Failed, "may not read public.a", |_, source, _| {
        source.unreadable = vec!["public.a".to_owned()];
    });
    one(Warning, "standby", |_, source, _| source.in_recovery = true);
    one(Failed, "no pg_dump", |_, source, _| {
        source.tools_error = "no pg_dump".to_owned()
    });
    one(Failed, "no table matches usres", |request, source, _| {
        request.selection.tables = vec!["usres".to_owned()];
        source.unmatched_patterns = vec!["usres".to_owned()];
    });
}

#[test]
fn incident_1_two_servers_over_one_data_directory() {
    one(
        Failed,
        "two servers run over one data directory",
        |_, source, target| {
            target
                .system_identifier
                .clone_from(&source.system_identifier);
        },
    );
    one(Warning, "could not check", |_, _, target| {
        target.system_identifier.clear()
    });
    // Within one instance the identifier is equal, and that is fine.
    let same = complaints(|request, source, target| {
        request.target = "web-1/shop-db/shop_test".parse().unwrap();
        target
            .system_identifier
            .clone_from(&source.system_identifier);
    });
    assert_eq!(same, []);
}

#[test]
fn target_must_be_a_newer_or_equal_primary() {
    one(Failed, "standby", |_, _, target| target.in_recovery = true);
    one(Failed, "PostgreSQL 15, the target 14", |_, _, target| {
        target.version_num = 140_019
    });
    assert_eq!(complaints(|_, _, target| target.version_num = 150_001), []);
    one(Warning, "no superuser", |_, _, target| {
        target.is_superuser = false
    });
}

#[test]
fn target_name_must_be_free_or_replaced() {
    let taken = |target: &mut DatabaseFacts| {
        target.exists = true;
        target.databases.push("shop_test".to_owned());
    };
    one(Failed, "web-2/shop-db/shop_test exists", |_, _, target| {
        taken(target)
    });
    let replaced = complaints(|request, _, target| {
        request.replace = true;
        taken(target);
    });
    assert_eq!(replaced, []);
    one(Warning, "3 sessions will be ended", |request, _, target| {
        request.replace = true;
        taken(target);
        target.sessions = 3;
    });
    for own in ["postgres", "template0", "template1"] {
        one(Failed, "belongs to the server itself", |request, _, _| {
            request.replace = true;
            request.target.database = own.to_owned();
        });
    }
    one(Failed, "64 bytes", |request, _, _| {
        request.target.database = "ü".repeat(32)
    });
}

#[test]
fn room_is_estimated_and_shown() {
    let gibibyte = 1 << 30;
    assert_eq!(
        needed(false, gibibyte),
        gibibyte + gibibyte / 5 + (512 << 20)
    );
    one(
        Failed,
        "about 1 741 MiB needed, only 1 740 MiB free",
        |_, _, target| {
            target.disk_free_bytes = Some(1740 << 20);
        },
    );
    one(Warning, "could not check", |_, _, target| {
        target.disk_free_bytes = None
    });
    let schema_only = complaints(|request, _, target| {
        request.selection.schema_only = true;
        target.disk_free_bytes = Some(512 << 20);
    });
    assert_eq!(schema_only, []);
}

#[test]
fn collations_of_columns_are_looked_for_on_the_target() {
    let collation = |name: &str, own, provider: &str, locale: &str| Collation {
        name: name.to_owned(),
        own,
        provider: provider.to_owned(),
        locale: locale.to_owned(),
        used_by: "column app.words.word".to_owned(),
    };
    let line = |wanted: Vec<Collation>, known: Vec<Collation>| {
        let (mut source, mut target) = (source(), target());
        (source.collations, target.collations) = (wanted, known);
        let lines = examine(&Inputs {
            job: 7,
            request: &request(),
            source: Ok(&source),
            target: Ok(&target),
        });
        let mut lines = lines.into_iter();
        lines.find(|line| line.question == "target has the collations")
    };
    let german = || collation("de_DE.utf8", false, "libc", "de_DE.utf8");
    assert_eq!(line(vec![], vec![german()]), None);
    let said = line(vec![german()], vec![german()]).unwrap();
    assert_eq!(said.verdict, PreflightVerdict::Passed);
    let said = line(vec![german()], vec![]).unwrap();
    assert_eq!(said.verdict, PreflightVerdict::Warning);

    // All at once, with who needs them.
    let wanted = vec![
        german(),
        collation("app.english", true, "libc", "en_US.UTF-8"),
        collation("app.polish", true, "libc", "pl_PL.UTF-8"),
        collation("app.loose", true, "icu", "und-u-ks-level2"),
    ];
    let known = vec![collation("C.utf8", false, "libc", "C.utf8")];
    let said = line(wanted.clone(), known).unwrap();
    assert_eq!(said.verdict, PreflightVerdict::Failed);
    assert_eq!(
        said.detail,
        "the target lacks de_DE.utf8 for column app.words.word, \
         app.polish (locale pl_PL.UTF-8 by libc) for column app.words.word, \
         app.loose (locale und-u-ks-level2 by icu) for column app.words.word"
    );
    let known = vec![german(), collation("sv-x-icu", false, "icu", "sv")];
    let said = line(wanted, known).unwrap();
    assert!(
        said.detail.starts_with("the target lacks app.polish "),
        "{}",
        said.detail
    );
    assert!(!said.detail.contains("app.loose"), "{}", said.detail);
}

#[test]
fn extensions_roles_locales_tablespaces() {
    one(Failed, "not available: pg_trgm", |_, _, target| {
        target.extensions.clear()
    });
    one(
        Warning,
        "app will be created without a password",
        |_, source, _| {
            source.roles.push(role("app"));
        },
    );
    // Predefined roles are everywhere.
    let predefined = complaints(|_, source, _| source.roles.push(role("pg_read_all_data")));
    assert_eq!(predefined, []);
    let powerful = complaints(|_, source, _| {
        source.roles.push(Role {
            superuser: true,
            ..role("dba")
        });
    });
    assert_eq!(powerful.len(), 2, "{powerful:?}");
    assert!(powerful[1].1.contains("not given"), "{powerful:?}");
    one(Failed, "lacks de_DE.UTF-8", |_, source, _| {
        source.collate = "de_DE.UTF-8".to_owned();
    });
    one(Warning, "could not check", |_, _, target| {
        target.locales.clear()
    });
    one(
        Failed,
        "builtin provider needs PostgreSQL 17",
        |_, source, target| {
            source.locale_provider = "builtin".to_owned();
            target.version_num = 160_000;
        },
    );
    one(Warning, "fast missing", |_, source, _| {
        source.tablespaces.push("fast".to_owned())
    });
}

#[test]
fn an_extension_is_not_copied_to_where_only_older_ones_are() {
    let versions = |installed: &'static str, offered: &'static [&'static str]| {
        move |_: &mut CopyDatabase, source: &mut DatabaseFacts, target: &mut DatabaseFacts| {
            source.extensions = vec![extension("pg_trgm", &[installed])];
            target.extensions = vec![extension("pg_trgm", offered)];
        }
    };
    one(
        Failed,
        "pg_trgm is 1.10 at the source, the target offers at most 1.9",
        versions("1.10", &["1.8", "1.9", "1.2"]),
    );
    one(
        Warning,
        "pg_trgm is 1.10 at the source, the target creates 1.9 by default (it also offers 1.11)",
        versions("1.10", &["1.9", "1.10", "1.11"]),
    );
    // PostGIS offers versions that are no numbers.
    one(
        Failed,
        "the target offers at most 3.4.2",
        versions("3.5.0", &["3.4.2", "ANY", "unpackaged"]),
    );
    for fine in [&["1.10", "1.9"][..], &["1.11"], &["2"]] {
        assert_eq!(complaints(versions("1.10", fine)), [], "{fine:?}");
    }
}

proptest! {
    // More data never needs less room, and there is always a reserve.
    #[test]
    fn room_grows_with_the_data(a in any::<u64>(), b in any::<u64>()) {
        let (small, large) = (a.min(b), a.max(b));
        prop_assert!(needed(false, small) <= needed(false, large));
        prop_assert!(needed(false, small) >= 512 << 20);
    }
}

#[test]
fn mariadbs_are_judged_by_their_own_facts_and_engines_never_mix() {
    let mariadb = |source: &mut DatabaseFacts, target: &mut DatabaseFacts| {
        for facts in [source, target] {
            facts.engine = Some(Engine::Mariadb);
            facts.version_num = 101_119;
            facts.collate = "utf8mb4_general_ci".to_owned();
            facts.locales = vec!["utf8mb4_general_ci".to_owned()];
            facts.extensions.clear();
            facts.tablespaces.clear();
            facts.tools.clear();
            facts.roles.clear();
        }
    };
    assert_eq!(complaints(|_, source, target| mariadb(source, target)), []);
    one(Failed, "never copied between engines", |_, source, _| {
        source.engine = Some(Engine::Mariadb);
    });
    one(
        Failed,
        "the source is MariaDB 11.8, the target 10.11",
        |_, source, target| {
            mariadb(source, target);
            source.version_num = 110_806;
        },
    );
    one(
        Failed,
        "no collation utf8mb4_uca1400_ai_ci",
        |_, source, target| {
            mariadb(source, target);
            source.collate = "utf8mb4_uca1400_ai_ci".to_owned();
        },
    );
    one(Warning, "'app'@'%' will be created", |_, source, target| {
        mariadb(source, target);
        source.roles = vec![role("'app'@'%'")];
    });
    one(Failed, "the server is read-only", |_, source, target| {
        mariadb(source, target);
        target.obstacles = vec!["the server is read-only".to_owned()];
    });
    one(Warning, "no snapshot holds", |_, source, target| {
        mariadb(source, target);
        source.warnings = vec!["no snapshot holds these tables still".to_owned()];
    });
}
