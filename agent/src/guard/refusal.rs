//! The sentence that an operator reads: what, why, and what to type next.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{
    facts::{DataDirectory, Place},
    protection::CountedDatabase,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub rule: Rule,
    /// Name of the volume, or path of the folder; empty where it is about none.
    pub place: String,
    pub sentence: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A second container on the data of a server that runs.
    SecondMount,
    /// The only known copy of a database would go.
    Loss,
    /// What the call would do cannot be told.
    Unclear,
    /// The engine did not answer in time.
    Unchecked,
    /// A managed plugin under the guard's name.
    Impostor,
}

impl Rule {
    /// As scripts and people see it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SecondMount => "second-mount",
            Self::Loss => "loss",
            Self::Unclear => "unclear",
            Self::Unchecked => "unchecked",
            Self::Impostor => "impostor",
        }
    }
}

/// Who has the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    Running(String),
    Starting(String),
    /// A server outside containers.
    Host,
}

impl Refusal {
    pub(super) fn second(host: &str, data: &DataDirectory, holder: &Holder) -> Self {
        let who = match holder {
            Holder::Running(name) => format!("container {name} runs on it"),
            Holder::Starting(name) => format!("container {name} is being started on it"),
            Holder::Host => "a server of this machine runs on it".to_owned(),
        };
        let copy = match (&data.instance, data.databases.first()) {
            (Some(instance), Some(database)) => {
                format!("ctl copy database {host}/{instance}/{database} HOST/INSTANCE/NEW_NAME")
            }
            _ => format!("ctl copy database {host}/INSTANCE/DATABASE HOST/INSTANCE/NEW_NAME"),
        };
        Self {
            rule: Rule::SecondMount,
            place: data.place.key(),
            sentence: format!(
                "{} holds {} and {who}: a second container that can write there destroys the data. To have a copy run: \
                 {copy}; to read files mount it read-only; to replace the container stop it first",
                data.place,
                held(data),
            ),
        }
    }

    pub(super) fn lost(host: &str, data: &DataDirectory, how: &str, now: DateTime<Utc>) -> Self {
        let how = match how {
            "" => String::new(),
            how => format!(", {how}"),
        };
        let backup = proof(data, now);
        let next = ways_out(host, data, now);
        Self {
            rule: Rule::Loss,
            place: data.place.key(),
            sentence: format!(
                "{} holds {}{how}, {backup}; run: {next}",
                data.place,
                held(data)
            ),
        }
    }

    pub(super) fn unclear(what: &str, why: &str) -> Self {
        Self {
            rule: Rule::Unclear,
            place: String::new(),
            sentence: format!(
                "{what} is refused unseen, because a database could be lost by it: {why}. Send it as JSON, smaller \
                 than 1 MiB; if this guard is in the way run: holdfast-agent guard uninstall"
            ),
        }
    }

    pub(super) fn unchecked(what: &str) -> Self {
        Self {
            rule: Rule::Unchecked,
            place: String::new(),
            sentence: format!(
                "the engine did not tell {what} in time, and databases are on this host: try again; if it stays so \
                 run: holdfast-agent guard status"
            ),
        }
    }

    pub(super) fn impostor() -> Self {
        Self {
            rule: Rule::Impostor,
            place: String::new(),
            sentence: "a plugin of the name holdfast would take the place of this guard; take another name, or to be \
                       rid of the guard run: holdfast-agent guard uninstall"
                .to_owned(),
        }
    }
}

/// What is known of a backup that was restored and found whole.
fn proof(data: &DataDirectory, now: DateTime<Utc>) -> String {
    let proven = data.protection.as_ref().and_then(|one| one.proven_at);
    if let Some(at) = proven {
        return format!("last proven backup {} ago", age(now - at));
    }
    let unproven = stale(data, now).filter(|database| database.proven_at.is_none());
    let unproven: Vec<_> = unproven.map(|database| &*database.name).collect();
    match unproven.as_slice() {
        [] => "no proven backup of it is known".to_owned(),
        names => format!("no proven backup of {} is known", names.join(", ")),
    }
}

/// The databases that keep the others.
fn stale(data: &DataDirectory, now: DateTime<Utc>) -> impl Iterator<Item = &CountedDatabase> {
    let protection = data.protection.iter();
    let databases = protection.flat_map(|protection| &protection.databases);
    databases.filter(move |database| !database.is_fresh(now))
}

/// Backups that are proven at once, or an operator's word.
fn ways_out(host: &str, data: &DataDirectory, now: DateTime<Utc>) -> String {
    let mut names: Vec<_> = stale(data, now).map(|database| &*database.name).collect();
    if names.is_empty() {
        names = data.databases.iter().map(String::as_str).collect();
    }
    let is_there = data.on_host || !data.servers.is_empty();
    // Of a server whose databases do not count, a backup of one does not help.
    let protection = data.protection.as_ref();
    let counts = protection.is_none_or(|protection| !protection.databases.is_empty());
    let instance = data.instance.as_ref().filter(|_| is_there && counts);
    let (subjects, of) = match (instance, &data.place) {
        (Some(instance), _) if !names.is_empty() => {
            let subjects = names.iter().map(|name| format!("{host}/{instance}/{name}"));
            (subjects.collect(), "")
        }
        (_, Place::Volume { name, .. }) => (vec![format!("{host}/{name}")], "--volume "),
        _ => (vec![format!("{host}/INSTANCE/DATABASE")], ""),
    };
    let drills: Vec<_> = subjects
        .iter()
        .map(|one| format!(" && ctl drill run {one}"))
        .collect();
    let place = match &data.place {
        Place::Volume { name, .. } => format!("{host}/{name}"),
        Place::Folder(path) => format!("{host}:{}", path.display()),
    };
    format!(
        "ctl backup create {of}{}{}, or to let it go: ctl guard allow {place} --for 10m --reason WHY",
        subjects.join(" "),
        drills.concat(),
    )
}

/// "database shop (5 012 users)", or the server when no database is known.
fn held(data: &DataDirectory) -> String {
    const SHOWN: usize = 3;
    let of = data
        .instance
        .as_ref()
        .map(|instance| format!(" of {instance}"));
    if data.databases.is_empty() {
        return format!("the data of {}{}", data.server, of.unwrap_or_default());
    }
    let mut names: Vec<_> = data
        .databases
        .iter()
        .map(|name| counted(name, data))
        .collect();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    let word = if data.databases.len() == 1 {
        "database"
    } else {
        "databases"
    };
    format!("{word} {}", names.join(", "))
}

fn counted(name: &str, data: &DataDirectory) -> String {
    let counts = data
        .protection
        .iter()
        .flat_map(|protection| &protection.databases);
    let users = counts
        .filter(|counted| counted.name == name)
        .find_map(|counted| counted.users);
    match users {
        Some(1) => format!("{name} (1 user)"),
        Some(users) => format!("{name} ({} users)", grouped(users)),
        None => name.to_owned(),
    }
}

/// 5012 as "5 012".
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// In the largest unit of which there are two.
pub(super) fn age(age: TimeDelta) -> String {
    let seconds = age.num_seconds().max(0);
    let (count, word) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {word}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::protection::{CountedDatabase, Protection};

    fn shop() -> DataDirectory {
        DataDirectory {
            place: Place::Volume {
                name: "shop_db".to_owned(),
                anonymous: false,
            },
            roots: vec!["/v/shop_db/_data".into()],
            inside: vec!["".into()],
            server: "PostgreSQL 17".to_owned(),
            instance: Some("shop-db".to_owned()),
            databases: vec!["shop".to_owned()],
            servers: vec!["a1".to_owned()],
            on_host: false,
            protection: None,
        }
    }

    #[test]
    fn a_loss_is_told_in_one_sentence_with_the_ways_out() {
        let now = "2026-11-22T10:00:00Z".parse().unwrap();
        let mut data = shop();
        let lost = |data: &DataDirectory| Refusal::lost("web-1", data, "", now).sentence;
        assert_eq!(
            lost(&data),
            "volume shop_db holds database shop, no proven backup of it is known; run: ctl backup create \
             web-1/shop-db/shop && ctl drill run web-1/shop-db/shop, or to let it go: ctl guard allow web-1/shop_db \
             --for 10m --reason WHY"
        );
        let counted = |name: &str, users, days: Option<i64>| CountedDatabase {
            name: name.to_owned(),
            users,
            proven_at: days.map(|days| now - TimeDelta::days(days)),
            fresh_until: days.map(|days| now - TimeDelta::days(days - 1)),
        };
        let shop = counted("shop", Some(5012), Some(9));
        data.protection = Some(Protection {
            databases: vec![shop.clone()],
            proven_at: shop.proven_at,
            ..Protection::default()
        });
        let old = lost(&data);
        let begins = "volume shop_db holds database shop (5 012 users), last proven backup 9 days ago; run: ";
        assert!(old.starts_with(begins), "{old}");
        // One that the sentence does not name may be what is missing.
        data.protection = Some(Protection {
            databases: vec![shop, counted("postgres", None, None)],
            ..Protection::default()
        });
        let one = lost(&data);
        assert!(
            one.contains(
                "(5 012 users), no proven backup of postgres is known; run: ctl backup create web-1/shop-db/shop \
                 web-1/shop-db/postgres && ctl drill run web-1/shop-db/shop && ctl drill run web-1/shop-db/postgres, or"
            ),
            "{one}"
        );
        // Nobody knows of which data a backup of one is: they are swapped.
        data.protection = Some(Protection::default());
        let swapped = lost(&data);
        assert!(
            swapped.contains("run: ctl backup create --volume web-1/shop_db &&"),
            "{swapped}"
        );
        data.protection = None;
        // Nobody answers there any more: `compose down -v`.
        data.servers.clear();
        let gone = lost(&data);
        assert!(
            gone.contains(
                "run: ctl backup create --volume web-1/shop_db && ctl drill run web-1/shop_db, or"
            ),
            "{gone}"
        );
        data.instance = None;
        data.databases.clear();
        let unused =
            Refusal::lost("web-1", &data, "is used by no container and would go", now).sentence;
        assert!(
            unused.contains("holds the data of PostgreSQL 17, is used by no"),
            "{unused}"
        );
        data.place = Place::Folder("/srv/db".into());
        let folder = lost(&data);
        assert!(
            folder.contains("ctl guard allow web-1:/srv/db --for"),
            "{folder}"
        );
    }

    #[test]
    fn a_second_mount_names_who_is_there_and_how_to_copy() {
        let holder = Holder::Running("shop-db".to_owned());
        let refusal = Refusal::second("web-1", &shop(), &holder);
        assert_eq!(
            (refusal.rule, &*refusal.place),
            (Rule::SecondMount, "shop_db")
        );
        let sentence = refusal.sentence;
        assert!(
            sentence.contains("container shop-db runs on it"),
            "{sentence}"
        );
        assert!(
            sentence.contains("ctl copy database web-1/shop-db/shop HOST"),
            "{sentence}"
        );
    }

    #[test]
    fn ages_numbers_and_lists_read_well() {
        for (seconds, text) in [
            (1, "1 second"),
            (119, "119 seconds"),
            (7_199, "119 minutes"),
            (172_800, "2 days"),
        ] {
            assert_eq!(age(TimeDelta::seconds(seconds)), text);
        }
        assert_eq!((&*grouped(12), &*grouped(1_234_567)), ("12", "1 234 567"));
        let databases: Vec<_> = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
        let many = DataDirectory {
            databases,
            ..shop()
        };
        assert_eq!(held(&many), "databases a, b, c, 2 more");
    }
}
