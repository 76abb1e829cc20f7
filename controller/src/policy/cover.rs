//! Which policy covers a database or a volume: of those that select it, the most specific one.

use std::fmt;

use super::{Glob, Policy, PolicySet, Selector, Subject};

/// How narrow a selector is. Compared part by part: what names the database (or the volume) outranks all that names
/// its instance only, and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    name: u8,
    instance: u8,
    labels: usize,
    project: u8,
    host: u8,
    engine: u8,
}

/// What became of one policy in the choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    pub policy: String,
    pub selects: bool,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Coverage<'a> {
    /// None: it is a volume that no policy names.
    pub policy: Option<&'a Policy>,
    /// Every policy, in the order of the file, the default last.
    pub matches: Vec<Match>,
}

/// The default covers every database that no other policy selects, and no volume. Two policies of one rank never
/// select the same: such a set is refused when it is read.
#[must_use]
pub fn cover<'a>(set: &'a PolicySet, subject: &Subject) -> Coverage<'a> {
    let selecting = set
        .policies
        .iter()
        .filter(|policy| misfit(&policy.select, subject).is_none());
    let best = selecting.max_by_key(|policy| Rank::of(&policy.select));
    let fallback = (!subject.is_volume()).then_some(&set.default);
    let policy = best.or(fallback);
    let wins = policy
        .map(|policy| policy.name.as_str())
        .unwrap_or_default();
    let matches = set
        .policies
        .iter()
        .map(|candidate| {
            let misfit = misfit(&candidate.select, subject);
            Match {
                policy: candidate.name.clone(),
                selects: misfit.is_none(),
                why: match misfit {
                    Some(why) => why,
                    None if candidate.name == wins => {
                        format!("selects by {}", candidate.select)
                    }
                    None => format!(
                        "selects by {}, but {} is more specific",
                        candidate.select, wins
                    ),
                },
            }
        })
        .chain([Match {
            policy: set.default.name.clone(),
            selects: !subject.is_volume(),
            why: match best {
                _ if subject.is_volume() => "it covers no volumes".to_owned(),
                None => "no other policy selects it".to_owned(),
                Some(best) => format!("{} selects it", best.name),
            },
        }])
        .collect();
    Coverage { policy, matches }
}

/// Why the selector does not select; none: it does.
fn misfit(select: &Selector, subject: &Subject) -> Option<String> {
    let name = &subject.database;
    match (subject.is_volume(), select.is_of_volumes()) {
        (true, false) => return Some("it covers databases".to_owned()),
        (false, true) => return Some("it covers volumes".to_owned()),
        _ => {}
    }
    let texts = [
        ("name", &select.volume, name.database.as_str()),
        ("name", &select.name, name.database.as_str()),
        ("instance", &select.instance, name.instance.as_str()),
        ("project", &select.project, subject.project.as_str()),
        ("host", &select.host, name.host.as_str()),
    ];
    for (what, globs, text) in texts {
        if !globs.is_empty() && !globs.iter().any(|glob| glob.fits(text)) {
            let is = if text.is_empty() { "none" } else { text };
            return Some(format!("its {what} is {is}, not {}", either(globs)));
        }
    }
    for (label, glob) in &select.label {
        match subject.labels.get(label) {
            Some(value) if glob.fits(value) => {}
            Some(value) => return Some(format!("its label {label} is {value}, not {glob}")),
            None => return Some(format!("it has no label {label}")),
        }
    }
    if let Some(engine) = subject.engine
        && !select.engine.is_empty()
        && !select.engine.contains(&engine)
    {
        let engine = engine.as_str();
        return Some(format!("its engine is {engine}, not {}", engines(select)));
    }
    // Whoever backs its files up has the server stopped: nobody wishes that by a pattern.
    if !subject.holds.is_empty() && !select.names_in_full(&name.database) {
        let servers = subject.holds.join(", ");
        return Some(format!(
            "it holds the databases of {servers}: only its full name covers it"
        ));
    }
    None
}

impl Selector {
    /// It covers volumes, and no databases.
    #[must_use]
    pub fn is_of_volumes(&self) -> bool {
        !self.volume.is_empty()
    }

    /// It names just this volume, and not by a pattern.
    #[must_use]
    pub fn names_in_full(&self, volume: &str) -> bool {
        let mut globs = self.volume.iter();
        globs.any(|glob| glob.is_literal() && glob.fits(volume))
    }
}

impl Rank {
    #[must_use]
    pub fn of(select: &Selector) -> Self {
        Self {
            name: narrowness(&select.name).max(narrowness(&select.volume)),
            instance: narrowness(&select.instance),
            labels: select.label.len(),
            project: narrowness(&select.project),
            host: narrowness(&select.host),
            engine: u8::from(!select.engine.is_empty()),
        }
    }
}

/// 2: names only, 1: patterns, 0: everything.
fn narrowness(globs: &[Glob]) -> u8 {
    if globs.is_empty() || globs.iter().any(|glob| glob.as_str() == "*") {
        0
    } else if globs.iter().all(Glob::is_literal) {
        2
    } else {
        1
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = [
            ("host", &self.host),
            ("project", &self.project),
            ("instance", &self.instance),
            ("name", &self.name),
            ("volume", &self.volume),
        ]
        .into_iter()
        .filter(|(_, globs)| !globs.is_empty())
        .map(|(what, globs)| format!("{what} {}", either(globs)))
        .collect();
        parts.extend(
            self.label
                .iter()
                .map(|(label, glob)| format!("label {label}={glob}")),
        );
        if !self.engine.is_empty() {
            parts.push(format!("engine {}", engines(self)));
        }
        f.write_str(&parts.join(", "))
    }
}

fn either(globs: &[Glob]) -> String {
    let texts: Vec<_> = globs.iter().map(Glob::as_str).collect();
    texts.join(" or ")
}

fn engines(select: &Selector) -> String {
    let names: Vec<_> = select.engine.iter().map(|engine| engine.as_str()).collect();
    names.join(" or ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use holdfast_proto::{fleet::Engine, names::VolumeName};

    use super::*;
    use crate::policy::file;

    fn subject(database: &str) -> Subject {
        Subject {
            database: database.parse().unwrap(),
            engine: Some(Engine::Postgres),
            project: "shop".to_owned(),
            labels: BTreeMap::from([("tier".to_owned(), "gold".to_owned())]),
            holds: vec![],
        }
    }

    fn set(policies: &[&str]) -> PolicySet {
        let mut text = "policies:\n".to_owned();
        for policy in policies {
            let (name, select) = policy.split_once(": ").unwrap();
            text.push_str(&format!("  - name: {name}\n    select: {select}\n"));
        }
        file::read(&text).unwrap()
    }

    #[test]
    fn the_most_specific_policy_wins_in_every_order() {
        let policies = [
            "by-engine: {engine: postgres}",
            "by-host: {host: web-1}",
            "by-project: {project: shop, host: 'web-*'}",
            "by-label: {label: {tier: gold}}",
            "by-instance: {instance: shop-db}",
            "by-pattern: {name: 'sh*'}",
            "by-name: {name: shop}",
        ];
        for last in (0..policies.len()).rev() {
            let mut some = policies[..=last].to_vec();
            let wanted = some[last].split_once(':').unwrap().0;
            for _ in 0..some.len() {
                some.rotate_left(1);
                let set = set(&some);
                let covered = cover(&set, &subject("web-1/shop-db/shop"));
                assert_eq!(covered.policy.unwrap().name, wanted);
            }
        }
    }

    #[test]
    fn what_nobody_selects_has_the_default_and_the_reason_of_each() {
        let set = set(&[
            "gold: {label: {tier: silver}}",
            "crm: {name: [crm, erp]}",
            "my: {engine: mariadb}",
        ]);
        let covered = cover(&set, &subject("web-1/shop-db/shop"));
        assert_eq!(covered.policy.unwrap().name, "default");
        let whys: Vec<_> = covered
            .matches
            .iter()
            .map(|m| (m.selects, m.why.as_str()))
            .collect();
        assert_eq!(
            whys,
            [
                (false, "its label tier is gold, not silver"),
                (false, "its name is shop, not crm or erp"),
                (false, "its engine is postgres, not mariadb"),
                (true, "no other policy selects it"),
            ]
        );
    }

    fn volume(name: &str, holds: &[&str]) -> Subject {
        Subject {
            database: name.parse::<VolumeName>().unwrap().into(),
            engine: None,
            holds: holds.iter().map(|name| (*name).to_owned()).collect(),
            ..subject("web-1/shop-db/shop")
        }
    }

    #[test]
    fn a_volume_is_covered_only_by_a_policy_that_names_volumes_and_a_database_never_by_one() {
        let set = set(&[
            "all-databases: {host: 'web-*'}",
            "files: {volume: 'shop_*', host: 'web-*'}",
            "mail: {volume: [mail, shop_mail]}",
        ]);
        let policy_of = |name: &str| {
            let covered = cover(&set, &volume(name, &[]));
            covered.policy.map(|policy| policy.name.clone())
        };
        assert_eq!(policy_of("web-1/shop_uploads").as_deref(), Some("files"));
        assert_eq!(policy_of("web-1/shop_mail").as_deref(), Some("mail"));
        assert_eq!(policy_of("lab-1/shop_uploads"), None);
        assert_eq!(policy_of("web-1/other"), None);
        let other = cover(&set, &volume("web-1/other", &[]));
        let whys: Vec<_> = other
            .matches
            .iter()
            .map(|m| (m.selects, m.why.as_str()))
            .collect();
        assert_eq!(
            whys,
            [
                (false, "it covers databases"),
                (false, "its name is other, not shop_*"),
                (false, "its name is other, not mail or shop_mail"),
                (false, "it covers no volumes"),
            ]
        );
        let database = cover(&set, &subject("web-1/shop-db/shop_x"));
        assert_eq!(database.policy.unwrap().name, "all-databases");
        assert_eq!(database.matches[1].why, "it covers volumes");
    }

    #[test]
    fn files_of_a_server_are_covered_by_their_full_name_only() {
        let policy_of = |select: &str| {
            let set = set(&[&format!("files: {{volume: {select}}}")]);
            let held = volume("web-1/shop_pgdata", &["shop-db"]);
            let covered = cover(&set, &held);
            (covered.policy.is_some(), covered.matches[0].why.clone())
        };
        let why = "it holds the databases of shop-db: only its full name covers it";
        assert_eq!(policy_of("'shop_*'"), (false, why.to_owned()));
        assert_eq!(policy_of("'*'"), (false, why.to_owned()));
        assert!(policy_of("['x*', shop_pgdata]").0);
    }

    #[test]
    fn the_one_that_lost_says_to_whom() {
        let set = set(&["wide: {host: 'web-*'}", "narrow: {name: shop}"]);
        let covered = cover(&set, &subject("web-1/shop-db/shop"));
        assert_eq!(
            covered.matches[0].why,
            "selects by host web-*, but narrow is more specific"
        );
        assert_eq!(covered.matches[1].why, "selects by name shop");
        assert_eq!(covered.matches[2].why, "narrow selects it");
    }
}
