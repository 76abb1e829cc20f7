//! Does what the source holds fit on the target?

use std::{cmp::Ordering, collections::BTreeSet};

use holdfast_proto::{
    fleet::Engine,
    task::{Collation, DatabaseFacts, Extension, Role},
};

use super::{CopyDatabase, PreflightLine, some_of};

/// `source`: as it is, or as it was when it was backed up.
pub fn ask(source: &DatabaseFacts, target: &DatabaseFacts, lines: &mut Vec<PreflightLine>) {
    if source.engine() != target.engine() {
        lines.push(between_engines(source, target));
        return;
    }
    lines.push(version(source, target));
    if !source.exists {
        return;
    }
    if source.engine() != Engine::Postgres {
        lines.push(collation(source, target));
        lines.push(accounts(source, target));
        return;
    }
    lines.push(locale(source, target));
    lines.extend(collations(source, target));
    lines.extend(extensions(source, target));
    lines.push(roles(source, target));
    lines.extend(privileged_roles(source, target));
    lines.extend(tablespaces(source, target));
}

/// Incident 1: two servers over one data directory, because somebody wanted a copy.
pub fn distinct(
    request: &CopyDatabase,
    source: &DatabaseFacts,
    target: &DatabaseFacts,
) -> PreflightLine {
    const QUESTION: &str = "not the same data directory";
    if request.source.instance_name() == request.target.instance_name() {
        return PreflightLine::passed(QUESTION, "a copy within one instance");
    }
    if source.system_identifier.is_empty() || target.system_identifier.is_empty() {
        return PreflightLine::warning(
            QUESTION,
            "could not check: a server does not tell its system identifier",
            "make sure that both names do not mean the same server",
        );
    }
    if source.system_identifier == target.system_identifier {
        return PreflightLine::failed(
            QUESTION,
            format!(
                "{} and {} have the same system identifier {}: they are one server under two \
                 names, or one is a clone or standby of the other, or two servers run over one \
                 data directory, which destroys it",
                request.source.instance_name(),
                request.target.instance_name(),
                source.system_identifier
            ),
            "find out which (`ctl instance list`, `ctl volume list`): if two servers share a \
             volume, stop the second one now; if it is a clone, copy to a server of its own",
        );
    }
    PreflightLine::passed(QUESTION, "system identifiers differ")
}

fn between_engines(source: &DatabaseFacts, target: &DatabaseFacts) -> PreflightLine {
    let (from, to) = (source.engine().label(), target.engine().label());
    PreflightLine::failed(
        "same kind of server",
        format!(
            "the source is {from}, the target is {to}: a database is never copied between engines"
        ),
        "choose a server of the same kind",
    )
}

/// "10.11" of 101119.
fn series(version_num: u32) -> String {
    format!("{}.{}", version_num / 10_000, version_num / 100 % 100)
}

fn collation(source: &DatabaseFacts, target: &DatabaseFacts) -> PreflightLine {
    const QUESTION: &str = "target knows encoding and collation";
    let described = format!("{}, {}", source.encoding, source.collate);
    if target.locales.is_empty() {
        return PreflightLine::warning(
            QUESTION,
            format!("{described}; could not check: the target does not list its collations"),
            "",
        );
    }
    if target.locales.contains(&source.collate) {
        return PreflightLine::passed(QUESTION, described);
    }
    PreflightLine::failed(
        QUESTION,
        format!("the target has no collation {}", source.collate),
        "choose a server of a version that has it",
    )
}

fn accounts(source: &DatabaseFacts, target: &DatabaseFacts) -> PreflightLine {
    const QUESTION: &str = "target has the accounts";
    let missing = missing_roles(source, target);
    let missing: Vec<_> = missing.iter().map(|role| role.name.clone()).collect();
    if missing.is_empty() {
        return PreflightLine::passed(QUESTION, format!("{} needed", source.roles.len()));
    }
    PreflightLine::warning(
        QUESTION,
        format!(
            "{} will be created, and cannot log in until it has a password",
            some_of(&missing)
        ),
        "set their passwords (ALTER USER … IDENTIFIED BY …)",
    )
}

fn version(source: &DatabaseFacts, target: &DatabaseFacts) -> PreflightLine {
    const QUESTION: &str = "target is not older";
    if source.engine() != Engine::Postgres {
        let label = source.engine().label();
        let (from, to) = (series(source.version_num), series(target.version_num));
        if target.version_num / 100 < source.version_num / 100 {
            return PreflightLine::failed(
                QUESTION,
                format!("the source is {label} {from}, the target {to}"),
                "choose a server of the same or a newer version",
            );
        }
        return PreflightLine::passed(QUESTION, format!("{label} {from} to {to}"));
    }
    let (from, to) = (source.version_num / 10_000, target.version_num / 10_000);
    if to < from {
        return PreflightLine::failed(
            QUESTION,
            format!("the source is PostgreSQL {from}, the target {to}"),
            "choose a server of the same or a newer version",
        );
    }
    PreflightLine::passed(QUESTION, format!("PostgreSQL {from} to {to}"))
}

fn locale(source: &DatabaseFacts, target: &DatabaseFacts) -> PreflightLine {
    const QUESTION: &str = "target knows encoding and collation";
    let described = format!(
        "{}, {} by {}",
        source.encoding, source.collate, source.locale_provider
    );
    let major = target.version_num / 10_000;
    let missing_provider = match source.locale_provider.as_str() {
        "icu" if major < 15 => Some("ICU as a database's provider needs PostgreSQL 15"),
        "builtin" if major < 17 => Some("the builtin provider needs PostgreSQL 17"),
        _ => None,
    };
    if let Some(reason) = missing_provider {
        return PreflightLine::failed(
            QUESTION,
            format!("{described}: {reason}"),
            "choose a newer server",
        );
    }
    if target.locales.is_empty() {
        return PreflightLine::warning(
            QUESTION,
            format!("{described}; could not check: the target does not list its collations"),
            "",
        );
    }
    let missing: BTreeSet<_> = [&source.collate, &source.ctype]
        .into_iter()
        .filter(|wanted| !has_locale(&target.locales, wanted))
        .cloned()
        .collect();
    if missing.is_empty() {
        return PreflightLine::passed(QUESTION, described);
    }
    let missing: Vec<_> = missing.into_iter().collect();
    PreflightLine::failed(
        QUESTION,
        format!("the target's operating system lacks {}", some_of(&missing)),
        "install the locale in the target's container or on its host (localedef, locales package) \
         and restart the server",
    )
}

/// `en_US.UTF-8` and `en_US.utf8` are the same.
fn has_locale(known: &[String], wanted: &str) -> bool {
    if wanted.is_empty() || ["C", "POSIX"].contains(&wanted) {
        return true;
    }
    let plain = |name: &str| name.to_ascii_lowercase().replace("utf-8", "utf8");
    let wanted = plain(wanted);
    known.iter().any(|name| plain(name) == wanted)
}

/// Of single columns, indexes, domains and types. A copy begins as template0, which has the collations of the
/// day on which its server was made.
fn collations(source: &DatabaseFacts, target: &DatabaseFacts) -> Option<PreflightLine> {
    const QUESTION: &str = "target has the collations";
    if source.collations.is_empty() {
        return None;
    }
    let names: Vec<_> = source.collations.iter().map(|c| c.name.clone()).collect();
    if target.collations.is_empty() {
        return Some(PreflightLine::warning(
            QUESTION,
            format!(
                "{}; could not check: the target does not list its collations",
                some_of(&names)
            ),
            "",
        ));
    }
    let missing: Vec<_> = source
        .collations
        .iter()
        .filter_map(|wanted| lacks(target, wanted))
        .collect();
    Some(if missing.is_empty() {
        PreflightLine::passed(QUESTION, some_of(&names))
    } else {
        PreflightLine::failed(
            QUESTION,
            format!("the target lacks {}", missing.join(", ")),
            "choose a server that was made where these locales are installed (a server has the collations of \
             the day on which it was made), or give those columns another collation at the source",
        )
    })
}

/// What of it is missing, and who uses it.
fn lacks(target: &DatabaseFacts, wanted: &Collation) -> Option<String> {
    let has_provider = || {
        target
            .collations
            .iter()
            .any(|c| c.provider == wanted.provider)
    };
    let is_there = match (wanted.own, wanted.provider.as_str()) {
        (false, _) => target.collations.iter().any(|c| c.name == wanted.name),
        // It is made by the copy; ICU takes any locale, the operating system only those that it has.
        (true, "libc") => has_locale(&target.locales, &wanted.locale),
        (true, _) => has_provider(),
    };
    let of_locale = if wanted.own {
        format!(" (locale {} by {})", wanted.locale, wanted.provider)
    } else {
        String::new()
    };
    let user = match wanted.used_by.as_str() {
        "" => String::new(),
        user => format!(" for {user}"),
    };
    (!is_there).then(|| format!("{}{of_locale}{user}", wanted.name))
}

fn extensions(source: &DatabaseFacts, target: &DatabaseFacts) -> Vec<PreflightLine> {
    const QUESTION: &str = "target has the extensions";
    let mut lines = Vec::new();
    let mut missing = Vec::new();
    for extension in &source.extensions {
        let available = target.extensions.iter().find(|e| e.name == extension.name);
        let Some(available) = available else {
            missing.push(extension.name.clone());
            continue;
        };
        lines.extend(older(extension, available));
    }
    lines.insert(
        0,
        if missing.is_empty() {
            let names: Vec<_> = source.extensions.iter().map(|e| e.name.clone()).collect();
            let detail = if names.is_empty() {
                "none needed".to_owned()
            } else {
                some_of(&names)
            };
            PreflightLine::passed(QUESTION, detail)
        } else {
            PreflightLine::failed(
                QUESTION,
                format!("not available: {}", some_of(&missing)),
                "install their packages where the target runs, or use an image that has them",
            )
        },
    );
    lines
}

/// The archive creates an extension at the target's default version, and then objects that may need
/// the source's. `available`: every version that the target can install, the default first.
fn older(installed: &Extension, available: &Extension) -> Option<PreflightLine> {
    const QUESTION: &str = "extensions are not older";
    let version = installed.versions.first()?;
    let default = available.versions.first()?;
    let is_older = |offered: &str| compare_versions(offered, version) == Ordering::Less;
    if !is_older(default) {
        return None;
    }
    let name = &installed.name;
    let newest = available
        .versions
        .iter()
        .max_by(|a, b| compare_versions(a, b))?;
    if is_older(newest) {
        return Some(PreflightLine::failed(
            QUESTION,
            format!("{name} is {version} at the source, the target offers at most {newest}"),
            "install the newer version's package where the target runs, or use an image that has it",
        ));
    }
    Some(PreflightLine::warning(
        QUESTION,
        format!(
            "{name} is {version} at the source, the target creates {default} by default (it also offers {newest})"
        ),
        "objects that need the newer version will be refused: set its default_version in the extension's control file on the target first",
    ))
}

/// By the numbers in them: 1.10 is newer than 1.9.
fn compare_versions(a: &str, b: &str) -> Ordering {
    let numbers = |version: &str| -> Vec<u64> {
        version
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|digits| digits.parse().ok())
            .collect()
    };
    numbers(a).cmp(&numbers(b))
}

fn roles(source: &DatabaseFacts, target: &DatabaseFacts) -> PreflightLine {
    const QUESTION: &str = "target has the roles";
    let missing: Vec<_> = missing_roles(source, target)
        .iter()
        .map(|r| r.name.clone())
        .collect();
    if missing.is_empty() {
        return PreflightLine::passed(QUESTION, format!("{} needed", source.roles.len()));
    }
    PreflightLine::warning(
        QUESTION,
        format!("{} will be created without a password", some_of(&missing)),
        "set passwords for those that log in (ALTER ROLE … PASSWORD)",
    )
}

fn privileged_roles(source: &DatabaseFacts, target: &DatabaseFacts) -> Option<PreflightLine> {
    let names: Vec<_> = missing_roles(source, target)
        .iter()
        .filter(|role| role.superuser || role.replication || role.bypass_rls)
        .map(|role| role.name.clone())
        .collect();
    (!names.is_empty()).then(|| {
        PreflightLine::warning(
            "no role gains power",
            format!(
                "{}: superuser, replication and bypass-RLS are not given to the new roles",
                some_of(&names)
            ),
            "give them by hand where they are meant",
        )
    })
}

/// Roles that the copy needs and the target lacks; the server's own are everywhere.
#[must_use]
pub fn missing_roles<'a>(source: &'a DatabaseFacts, target: &DatabaseFacts) -> Vec<&'a Role> {
    source
        .roles
        .iter()
        .filter(|role| !role.name.starts_with("pg_"))
        .filter(|role| !target.roles.iter().any(|known| known.name == role.name))
        .collect()
}

fn tablespaces(source: &DatabaseFacts, target: &DatabaseFacts) -> Option<PreflightLine> {
    let missing = missing_tablespaces(source, target);
    (!missing.is_empty()).then(|| {
        PreflightLine::warning(
            "target has the tablespaces",
            format!(
                "{} missing: everything goes into the default one",
                some_of(&missing)
            ),
            "create them on the target first when the placement matters",
        )
    })
}

#[must_use]
pub fn missing_tablespaces(source: &DatabaseFacts, target: &DatabaseFacts) -> Vec<String> {
    source
        .tablespaces
        .iter()
        .filter(|name| !target.tablespaces.contains(name))
        .cloned()
        .collect()
}
