//! The sentence that an operator reads: what, why, and what to type next.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::facts::{DataDirectory, Place};

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
            place: short(&data.place),
            sentence: format!(
                "{} holds {} and {who}: a second container that can write there destroys the data. To have a copy run: \
                 {copy}; to read files mount it read-only; to replace the container stop it first",
                data.place,
                held(data),
            ),
        }
    }

    pub(super) fn lost(host: &str, data: &DataDirectory, how: &str, now: DateTime<Utc>) -> Self {
        let proven = data
            .protection
            .as_ref()
            .and_then(|protection| protection.proven_at);
        let backup = match proven {
            Some(at) => format!("last proven backup {} ago", age(now - at)),
            None => "no proven backup of it is known".to_owned(),
        };
        let how = match how {
            "" => String::new(),
            how => format!(", {how}"),
        };
        let next = match (&data.instance, data.databases.first(), &data.place) {
            (Some(instance), Some(database), _) => {
                format!("ctl backup create {host}/{instance}/{database}")
            }
            (_, _, Place::Volume { name, .. }) => {
                format!("ctl backup create --volume {host}/{name}")
            }
            _ => format!("ctl backup create {host}/INSTANCE/DATABASE"),
        };
        Self {
            rule: Rule::Loss,
            place: short(&data.place),
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

fn short(place: &Place) -> String {
    match place {
        Place::Volume { name, .. } => name.clone(),
        Place::Folder(path) => path.display().to_string(),
    }
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
    use crate::guard::protection::{Counted, Protection};

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
    fn a_loss_is_told_in_one_sentence_with_the_way_out() {
        let now = "2026-11-22T10:00:00Z".parse().unwrap();
        let mut data = shop();
        let unproven = Refusal::lost("web-1", &data, "", now).sentence;
        assert_eq!(
            unproven,
            "volume shop_db holds database shop, no proven backup of it is known; run: ctl backup create \
             web-1/shop-db/shop"
        );
        data.protection = Some(Protection {
            databases: vec![Counted {
                name: "shop".to_owned(),
                users: Some(5012),
            }],
            proven_at: Some(now - TimeDelta::days(9)),
            ..Protection::default()
        });
        let old = Refusal::lost("web-1", &data, "", now).sentence;
        assert_eq!(
            old,
            "volume shop_db holds database shop (5 012 users), last proven backup 9 days ago; run: ctl backup create \
             web-1/shop-db/shop"
        );
        data.instance = None;
        data.databases.clear();
        let unused =
            Refusal::lost("web-1", &data, "is used by no container and would go", now).sentence;
        assert!(
            unused.contains("holds the data of PostgreSQL 17, is used by no"),
            "{unused}"
        );
        assert!(
            unused.ends_with("run: ctl backup create --volume web-1/shop_db"),
            "{unused}"
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
