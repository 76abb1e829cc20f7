//! Databases: `host/instance/database` is what every other command takes.

use holdfast_proto::fleet;
use serde::Serialize;

use super::instance::Instance;
use crate::output::{
    Page, View,
    grid::{Grid, or_dash, plain, toned},
    paint::Tone,
    units,
};

/// As an instance lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatabaseFacts {
    pub name: String,
    pub owner: String,
    pub size_bytes: u64,
    pub encoding: String,
    pub collation: String,
    pub allows_connections: bool,
    pub is_template: bool,
}

/// With its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Database {
    pub host: String,
    pub instance: String,
    #[serde(flatten)]
    pub facts: DatabaseFacts,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatabaseList {
    pub databases: Vec<Database>,
}

impl DatabaseList {
    /// Of the instances that answer; templates only when asked for.
    #[must_use]
    pub fn of(instances: &[Instance], with_templates: bool) -> Self {
        let databases = instances
            .iter()
            .filter_map(|instance| Some((instance, instance.health.as_ref()?)))
            .flat_map(|(instance, health)| {
                health.databases.iter().map(|facts| Database {
                    host: instance.host.clone(),
                    instance: instance.name.clone(),
                    facts: facts.clone(),
                })
            })
            .filter(|database| with_templates || !database.facts.is_template)
            .collect();
        Self { databases }
    }
}

impl Database {
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}/{}", self.host, self.instance, self.facts.name)
    }
}

impl From<fleet::Database> for DatabaseFacts {
    fn from(database: fleet::Database) -> Self {
        Self {
            name: database.name,
            owner: database.owner,
            size_bytes: database.size_bytes,
            encoding: database.encoding,
            collation: database.collation,
            allows_connections: database.allows_connections,
            is_template: database.is_template,
        }
    }
}

impl View for DatabaseList {
    fn text(&self, page: &Page) -> String {
        let head = ["DATABASE", "SIZE", "OWNER", "ENCODING", "COLLATION"];
        let mut grid = Grid::new(page, &head, "no databases").right(&[1]);
        for database in &self.databases {
            let facts = &database.facts;
            grid.row(vec![
                toned(Tone::Strong, database.full_name()),
                plain(units::size(facts.size_bytes)),
                or_dash(&facts.owner),
                plain(&facts.encoding),
                plain(&facts.collation),
            ]);
        }
        grid.render()
    }
}

pub(super) fn facts_table(databases: &[DatabaseFacts], page: &Page) -> String {
    let head = ["DATABASE", "SIZE", "OWNER", "ENCODING", "COLLATION"];
    let mut grid = Grid::new(page, &head, "no databases").right(&[1]);
    for facts in databases.iter().filter(|facts| !facts.is_template) {
        grid.row(vec![
            toned(Tone::Strong, &facts.name),
            plain(units::size(facts.size_bytes)),
            or_dash(&facts.owner),
            plain(&facts.encoding),
            plain(&facts.collation),
        ]);
    }
    grid.render()
}

#[cfg(test)]
mod tests {
    use super::DatabaseList;
    use crate::{
        output::{View as _, testing::page},
        view::samples,
    };

    #[test]
    fn a_list_gives_names_to_type() {
        assert_eq!(
            samples::database_list().text(&page()),
            "DATABASE               SIZE  OWNER  ENCODING  COLLATION\n\
             web-1/shop-db/shop  340 MiB  shop   UTF8      C.UTF-8\n\
             web-3/blog-db/blog  340 MiB  -      UTF8      C.UTF-8\n"
        );
    }

    #[test]
    fn templates_show_on_demand() {
        let instances = samples::instance_list().instances;
        assert_eq!(DatabaseList::of(&instances, false).databases.len(), 2);
        assert_eq!(DatabaseList::of(&instances, true).databases.len(), 3);
    }
}
