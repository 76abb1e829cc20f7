//! Instances: one database server process each, and how it is.

use holdfast_proto::fleet::{self, Engine};
use serde::Serialize;

use super::Time;
use crate::output::{
    Page, View,
    grid::{Grid, or_dash, plain, toned},
    paint::Tone,
    units,
};

mod detail;
mod health;

pub use health::{Archiver, Health, LongQuery, MariadbFacts, ReplicationSource, Slot, Untold};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Instance {
    pub host: String,
    pub name: String,
    pub engine: Engine,
    pub up: bool,
    pub down_reason: String,
    pub container: String,
    pub reached_by: String,
    pub registered: bool,
    pub reported_at: Option<Time>,
    pub health: Option<Health>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InstanceList {
    pub instances: Vec<Instance>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InstanceDetail {
    pub instance: Instance,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AddedInstance {
    pub host: String,
    pub name: String,
    pub up: bool,
    pub down_reason: String,
    pub password_hint: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RemovedInstance {
    pub host: String,
    pub name: String,
}

impl Instance {
    #[must_use]
    pub fn of(host: String, instance: fleet::Instance, reported_at: Option<Time>) -> Self {
        let up = instance.is_up();
        Self {
            host,
            name: instance.name,
            engine: instance.engine,
            up,
            down_reason: instance.down_reason,
            container: instance.container,
            reached_by: instance.reached_by,
            registered: instance.registered,
            reported_at,
            health: instance.health.map(Health::from),
        }
    }

    /// `host/instance`, as it is typed.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.host, self.name)
    }

    fn state(&self) -> (String, Tone) {
        match &self.health {
            Some(health) if self.up && health.in_recovery => ("up, standby".to_owned(), Tone::Good),
            Some(health) if self.up && health.is_read_only() => {
                ("up, read-only".to_owned(), Tone::Good)
            }
            Some(_) if self.up => ("up".to_owned(), Tone::Good),
            _ if self.down_reason.is_empty() => ("unknown".to_owned(), Tone::Warn),
            _ => (format!("down: {}", self.down_reason), Tone::Bad),
        }
    }
}

impl View for InstanceList {
    fn text(&self, page: &Page) -> String {
        table(&self.instances, page)
    }
}

impl View for InstanceDetail {
    fn text(&self, page: &Page) -> String {
        detail::text(&self.instance, page)
    }
}

impl View for AddedInstance {
    fn text(&self, page: &Page) -> String {
        let name = format!("{}/{}", self.host, self.name);
        let mut out = if self.up {
            format!(
                "instance {name} is registered and {}\n",
                page.paint.tone(Tone::Good, "up")
            )
        } else {
            format!(
                "instance {name} is registered, but not reached: {}\n",
                self.down_reason
            )
        };
        if !self.password_hint.is_empty() {
            out.push_str(&format!("password: {}\n", self.password_hint));
        }
        out
    }
}

impl View for RemovedInstance {
    fn text(&self, _: &Page) -> String {
        format!(
            "instance {}/{} is no longer registered; the server itself was not touched\n",
            self.host, self.name
        )
    }
}

pub(crate) fn table(instances: &[Instance], page: &Page) -> String {
    let head = [
        "INSTANCE",
        "STATE",
        "ENGINE",
        "VERSION",
        "DATABASES",
        "SIZE",
        "CONNECTIONS",
        "DISK",
        "SEEN",
    ];
    let mut grid = Grid::new(page, &head, "no instances").right(&[4, 5]);
    for instance in instances {
        let (state, tone) = instance.state();
        let of_health =
            |show: fn(&Health) -> String| instance.health.as_ref().map(show).unwrap_or_default();
        let disk = instance.health.as_ref().and_then(Health::disk_used_percent);
        grid.row(vec![
            toned(Tone::Strong, instance.full_name()),
            toned(tone, state),
            plain(instance.engine.label()),
            or_dash(&of_health(|health| health.short_version().to_owned())),
            or_dash(&of_health(|health| {
                health.own_databases().count().to_string()
            })),
            or_dash(&of_health(|health| units::size(health.total_bytes()))),
            or_dash(&of_health(|health| {
                format!("{}/{}", health.connections_used, health.connections_max)
            })),
            match disk {
                Some(percent) if percent >= 90 => toned(Tone::Bad, format!("{percent} %")),
                Some(percent) if percent >= 80 => toned(Tone::Warn, format!("{percent} %")),
                Some(percent) => plain(format!("{percent} %")),
                None => or_dash(""),
            },
            plain(units::ago(page.now, instance.reported_at)),
        ]);
    }
    grid.render()
}

#[cfg(test)]
mod tests {
    use crate::{
        output::{View as _, testing::page},
        view::samples,
    };

    #[test]
    fn a_list_tells_who_is_up_and_why_not() {
        assert_eq!(
            samples::instance_list().text(&page()),
            "INSTANCE       STATE                                  ENGINE      VERSION  DATABASES     SIZE  CONNECTIONS  DISK  SEEN\n\
             web-1/shop-db  up                                     PostgreSQL  15.20            1  340 MiB  7/100        91 %  2 s ago\n\
             web-2/crm-db   down: the server refuses: starting up  PostgreSQL  -                -        -  -            -     2 s ago\n\
             web-3/blog-db  up, read-only                          MariaDB     11.8.6           1  340 MiB  7/100        91 %  2 s ago\n"
        );
    }

    #[test]
    fn one_in_detail_names_what_hurts() {
        let text = samples::instance_detail().text(&page());
        for part in [
            "web-1/shop-db  up\n",
            "  version      15.20 (Debian 15.20-1)\n",
            "  disk         91 % used, 9.0 GiB free of 100 GiB\n",
            "  archiver     on, 12 archived, 1 failed, last failure 1 h ago (0000000100000000000000A1)\n",
            "\nDATABASES\n",
            "\nLONG QUERIES\n",
            "\nREPLICATION SLOTS\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
    }

    #[test]
    fn a_mariadb_shows_its_own_facts_and_none_of_postgresql() {
        let instances = samples::instance_list().instances;
        let instance = instances.into_iter().nth(2).unwrap();
        let text = super::InstanceDetail { instance }.text(&page());
        for part in [
            "  engine       MariaDB\n",
            "  binary log   on\n",
            "db-2:3306 (backup)  no         yes       -       error connecting",
            "  not told     running statements: no PROCESS\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
        for absent in ["archiver", "xid", "checksums", "SLOTS"] {
            assert!(!text.contains(absent), "{absent:?} is in:\n{text}");
        }
    }

    #[test]
    fn adding_says_where_the_password_goes() {
        assert_eq!(
            samples::added_instance().text(&page()),
            "instance web-1/legacy is registered, but not reached: password authentication failed\n\
             password: /var/lib/holdfast-agent/passwords/legacy on web-1\n"
        );
    }
}
