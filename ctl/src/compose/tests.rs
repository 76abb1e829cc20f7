//! Files as people write them, and what is found in each.

use std::path::Path;

use super::{Report, Severity, Surroundings, check, project_name};

fn around(variables: &[(&str, &str)]) -> Surroundings {
    let variables = variables.iter();
    Surroundings {
        directory: "Shop".to_owned(),
        variables: variables
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        project_is_fixed: false,
    }
}

fn look_with(text: &str, variables: &[(&str, &str)]) -> Report {
    check(Path::new("compose.yml"), text, &around(variables)).unwrap()
}

fn look(text: &str) -> Report {
    look_with(text, &[])
}

/// Codes and lines, without the advice that every tag is given.
fn found(report: &Report) -> Vec<(&str, usize)> {
    let problems = report.problems.iter();
    let worse = problems.filter(|problem| problem.severity > Severity::Advice);
    worse.map(|problem| (problem.code, problem.line)).collect()
}

/// The file as the patch makes it.
#[track_caller]
fn patched(text: &str, report: &Report) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("compose.yml"), text).unwrap();
    let patch = folder.path().join("patch");
    std::fs::write(&patch, &report.patch).unwrap();
    let mut command = std::process::Command::new("patch");
    command
        .arg("-p0")
        .arg("-i")
        .arg(&patch)
        .current_dir(folder.path());
    let output = command.output().expect("patch runs");
    assert!(output.status.success(), "{output:?}\n{}", report.patch);
    std::fs::read_to_string(folder.path().join("compose.yml")).unwrap()
}

/// A file in which nothing is wrong.
const GOOD: &str = "\
name: shop
services:
  db:
    image: postgres:17@sha256:0000
    volumes:
      - data:/var/lib/postgresql/data
  web:
    image: nginx
volumes:
  data:
    external: true
    name: shop_data
";

/// That of incident 4.
const RENAMED: &str = "\
# The shop.
services:
  db:
    image: postgres:15   # as in production
    environment:
      POSTGRES_PASSWORD: secret
    volumes:
      - data:/var/lib/postgresql/data

volumes:
  data:
";

#[test]
fn a_good_file_has_nothing() {
    let report = look(GOOD);
    assert_eq!((report.problems.len(), report.patch.as_str()), (0, ""));
    assert_eq!(report.worst(), None);
}

#[test]
fn the_file_of_incident_4_is_mended_and_called_as_it_is_now() {
    let report = look(RENAMED);
    assert_eq!(
        found(&report),
        [("no-fixed-name", 2), ("volume-not-external", 11)]
    );
    assert_eq!(report.worst(), Some(Severity::Error));
    let better = patched(RENAMED, &report);
    assert!(
        better.starts_with("# The shop.\nname: shop\n\nservices:\n"),
        "{better}"
    );
    assert!(
        better.ends_with("volumes:\n  data:\n    external: true\n    name: shop_data\n"),
        "{better}"
    );
    assert!(better.contains("# as in production"), "{better}");
    let again = look(&better);
    assert_eq!((found(&again), again.patch.as_str()), (vec![], ""));
}

#[test]
fn everything_is_mended_by_one_patch() {
    let text = RENAMED.replace("postgres:15", "postgres:18");
    let report = look(&text);
    let codes = ["no-fixed-name", "beside-its-volume", "volume-not-external"];
    let all: Vec<_> = found(&report).iter().map(|(code, _)| *code).collect();
    assert_eq!(all, codes);
    let better = patched(&text, &report);
    assert_eq!(found(&look(&better)), [], "{better}");
}

#[test]
fn a_name_from_outside_is_not_fixed() {
    let named = RENAMED.replacen("services:", "name: ${PROJECT:-shop}\nservices:", 1);
    let report = look_with(&named, &[("PROJECT", "other")]);
    assert_eq!(found(&report)[0], ("no-fixed-name", 2));
    let report = look_with(RENAMED, &[("COMPOSE_PROJECT_NAME", "prod")]);
    assert!(report.patch.contains("+name: prod\n"), "{}", report.patch);
    assert!(
        report.patch.contains("+    name: prod_data"),
        "{}",
        report.patch
    );
    // It lies beside the file, and goes where that goes.
    let beside = Surroundings {
        project_is_fixed: true,
        ..around(&[("COMPOSE_PROJECT_NAME", "prod")])
    };
    let report = check(Path::new("compose.yml"), RENAMED, &beside).unwrap();
    assert_eq!(found(&report), [("volume-not-external", 11)]);
    assert_eq!(report.worst(), Some(Severity::Warning));
    assert_eq!(project_name("My Shop.2"), "myshop2");
    assert_eq!(project_name("_-x-1"), "x-1");
}

#[test]
fn the_path_of_the_image_decides() {
    let with = |image: &str, target: &str| {
        GOOD.replace("postgres:17@sha256:0000", image)
            .replace("/var/lib/postgresql/data", target)
    };
    const OLD: &str = "/var/lib/postgresql/data";
    const NEW: &str = "/var/lib/postgresql";
    for (image, target, code) in [
        ("postgres:17", OLD, None),
        ("postgres:17", NEW, Some("beside-its-volume")),
        ("postgres:18", NEW, None),
        ("postgres:18.1-alpine", OLD, Some("beside-its-volume")),
        (
            "registry.example.org:5000/library/postgres:18",
            OLD,
            Some("beside-its-volume"),
        ),
        ("timescale/timescaledb:2.17.0-pg16", OLD, None),
        ("postgres", OLD, Some("could-not-check")),
        ("postgres:latest", OLD, Some("could-not-check")),
        ("postgres:${MISSING}", OLD, Some("could-not-check")),
        ("postgres:${MISSING:-17}", OLD, None),
        ("mariadb:11", OLD, Some("anonymous-volume")),
        ("mariadb", "/var/lib/mysql", None),
        ("mysql:8.4", "/var/lib/mysql", None),
        ("nginx", OLD, None),
    ] {
        let text = with(image, target);
        let report = look(&text);
        let codes: Vec<_> = found(&report).into_iter().map(|(code, _)| code).collect();
        assert_eq!(codes, Vec::from_iter(code), "{image} {target}");
        if code == Some("beside-its-volume") {
            let better = patched(&text, &report);
            assert_eq!(found(&look(&better)), [], "{better}");
        }
    }
    let resolved = look_with(&with("postgres:${TAG}", OLD), &[("TAG", "18")]);
    assert_eq!(found(&resolved), [("beside-its-volume", 6)]);
}

#[test]
fn data_without_a_named_volume_get_one() {
    let service =
        |lines: &str| format!("name: shop\nservices:\n  db:\n    image: postgres:17\n{lines}");
    for (text, code, line) in [
        (service(""), "anonymous-volume", 4),
        (
            service("    volumes:\n      - ./conf:/etc/postgresql\n"),
            "anonymous-volume",
            4,
        ),
        (
            service("    volumes:\n    - /var/lib/postgresql/data\n"),
            "anonymous-volume",
            6,
        ),
        (
            service("    environment: {PGDATA: /data/pg}\n"),
            "in-the-container",
            4,
        ),
        (
            service("    environment:\n      - PGDATA=/data/pg\nvolumes:\n  other:\n"),
            "in-the-container",
            4,
        ),
    ] {
        let report = look(&text);
        assert_eq!(found(&report), [(code, line)], "{text}");
        let better = patched(&text, &report);
        assert!(better.contains("    name: shop_db_data\n"), "{better}");
        assert_eq!(found(&look(&better)), [], "{better}");
    }
}

#[test]
fn what_is_meant_is_left_alone_or_told_with_its_weight() {
    let mounted = |mount: &str| GOOD.replace("data:/var/lib/postgresql/data", mount);
    for (mount, problem) in [
        ("/srv/db:/var/lib/postgresql/data", None),
        ("./db:/var/lib/postgresql/data", Some("relative-folder")),
        (
            "missing:/var/lib/postgresql/data",
            Some("undeclared-volume"),
        ),
        (
            "{type: tmpfs, target: /var/lib/postgresql/data}",
            Some("data-in-memory"),
        ),
        (
            "{type: volume, source: data, target: /var/lib/postgresql/data/}",
            None,
        ),
        (
            "{type: volume, target: /var/lib/postgresql/data}",
            Some("anonymous-volume"),
        ),
        (
            "{type: bind, source: /srv/db, target: /var/lib/postgresql/data}",
            None,
        ),
    ] {
        let report = look(&mounted(mount));
        let codes: Vec<_> = found(&report).into_iter().map(|(code, _)| code).collect();
        assert_eq!(codes, Vec::from_iter(problem), "{mount}");
    }
}

#[test]
fn volumes_that_are_written_otherwise_are_told_too() {
    let written = |lines: &str| {
        let (before, _) = GOOD.split_once("  data:\n").unwrap();
        format!("{before}{lines}")
    };
    for (lines, mended) in [
        ("  data: {}\n", true),
        ("  data:\n    name: shop_data\n", true),
        ("  data:\n    name: shop_data\n    driver: local\n", false),
        ("  data: {driver: local}\n", false),
    ] {
        let text = written(lines);
        let report = look(&text);
        assert_eq!(found(&report), [("volume-not-external", 10)], "{lines}");
        assert_eq!(report.worst(), Some(Severity::Warning));
        assert_eq!(report.problems.last().unwrap().patched, mended, "{lines}");
        if mended {
            let better = patched(&text, &report);
            assert_eq!(found(&look(&better)), [], "{better}");
        }
    }
    for lines in [
        "  data: {external: true, name: x}\n",
        "  data:\n    external:\n      name: x\n",
    ] {
        assert_eq!(found(&look(&written(lines))), [], "{lines}");
    }
}

#[test]
fn what_is_elsewhere_is_never_green() {
    for more in [
        "include: [other.yml]\n",
        "  app:\n    extends: {file: base.yml, service: app}\n",
        "  own:\n    build: .\n    environment: [POSTGRES_PASSWORD]\n",
        "  ha:\n    image: timescale/timescaledb-ha:pg17\n",
    ] {
        let text = match more.starts_with(' ') {
            true => GOOD.replacen("  web:\n", &format!("{more}  web:\n"), 1),
            false => format!("{more}{GOOD}"),
        };
        let report = look(&text);
        assert_eq!(
            report.worst(),
            Some(Severity::Unknown),
            "{text}\n{report:#?}"
        );
    }
}

#[test]
fn aliases_and_merged_keys_are_followed() {
    let text = "\
name: shop
x-db: &db
  image: postgres:18
  volumes:
    - data:/var/lib/postgresql/data
services:
  one:
    <<: *db
    environment: {POSTGRES_PASSWORD: x}
  two: *db
volumes:
  data: {external: true, name: shop_data}
";
    let report = look(text);
    let codes: Vec<_> = found(&report).into_iter().map(|(code, _)| code).collect();
    assert_eq!(
        codes,
        ["beside-its-volume", "beside-its-volume"],
        "{report:#?}"
    );
}

#[test]
fn a_patch_that_would_not_mend_is_not_given() {
    for text in [
        // Lines cannot be added to what is written in braces.
        "name: shop\nservices: {db: {image: 'postgres:17'}}\n",
        "name: shop\nservices:\n  db:\n    image: postgres:17\n    volumes: [./conf:/etc/postgresql]\n",
        "name: shop\nservices:\n  db:\n    image: postgres:17\nvolumes: {other: {}}\n",
        "services: {db: {image: 'postgres:17', volumes: ['data:/var/lib/postgresql/data']}}\nvolumes: {data: }\n",
    ] {
        let report = look(text);
        assert!(report.worst() >= Some(Severity::Warning), "{report:#?}");
        match report.patch.as_str() {
            "" => assert!(report.problems.iter().all(|problem| !problem.patched)),
            _ => {
                let better = patched(text, &report);
                let left = look(&better);
                let told = |problem: &super::Problem| {
                    let mut before = report.problems.iter();
                    before.any(|before| before.code == problem.code && !before.patched)
                };
                assert!(left.problems.iter().all(told), "{better}\n{left:#?}");
            }
        }
    }
    let empty = "name: shop\nservices:\n  db:\n    image: postgres:17\nvolumes:\n";
    let better = patched(empty, &look(empty));
    assert_eq!(found(&look(&better)), [], "{better}");
}

#[test]
fn nonsense_is_refused_with_its_line() {
    let refused = |text: &str| check(Path::new("x"), text, &around(&[])).unwrap_err();
    assert!(refused("").message.contains("no services"));
    assert!(refused("a: b\n").message.contains("no services"));
    assert_eq!(refused("services:\n  db: [\n").line.min(1), 1);
    assert_eq!(refused("services:\n  db:\n    volumes: 7\n").line, 3);
}
