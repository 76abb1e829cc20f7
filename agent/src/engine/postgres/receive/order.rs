//! What to build when: the post-data of an archive sorted into what may run early, beside each
//! other, and one after another. Pure.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_proto::image::{RelationKind, RelationPlan};

use super::state::Contents;
use crate::engine::postgres::archive::{Entry, Pass};

/// Statements and what to call them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) label: String,
    pub(super) sql: String,
}

/// An index that may be built as soon as its table is loaded, beside the reading back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Early {
    pub(super) relation: u32,
    pub(super) step: Step,
    /// Costs a multiple of a plain index.
    pub(super) inverted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ForeignKey {
    /// Validations of one table lock each other out.
    pub(super) table: (String, String),
    pub(super) add: Step,
    pub(super) validate: Option<Step>,
}

/// The whole order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) early: Vec<Early>,
    /// By table, after its early indexes and its reading back; needs the table alone.
    pub(super) after: BTreeMap<u32, Vec<Step>>,
    /// By table, when all rows are there: tables without rows of their own to wait for.
    pub(super) beside: Vec<((String, String), Step)>,
    /// Tables that have all their indexes when those of `early` and `after` are built: their statistics need not wait.
    pub(super) settled: BTreeSet<u32>,
    /// One after another.
    pub(super) structure: Vec<Step>,
    pub(super) foreign_keys: Vec<ForeignKey>,
    /// Tables at either end of a foreign key. ANALYZE and a validation of one table lock each other out.
    pub(super) related: BTreeSet<(String, String)>,
    pub(super) rest: Vec<Step>,
    /// After ANALYZE.
    pub(super) last: Vec<Step>,
    pub(super) indexes: u32,
    pub(super) constraints: u32,
    /// What cannot be made here, and why.
    pub(super) left_out: Vec<String>,
}

pub(super) fn of(contents: &Contents) -> Order {
    Sorting::new(contents).sort()
}

struct Sorting<'a> {
    contents: &'a Contents,
    by_name: BTreeMap<(&'a str, &'a str), &'a RelationPlan>,
    post: BTreeSet<i64>,
    /// Entries that are done before the foreign keys.
    structural: BTreeSet<i64>,
    /// Tables with something to come that their statistics depend on.
    unsettled: BTreeSet<&'a (String, String)>,
    order: Order,
}

impl<'a> Sorting<'a> {
    fn new(contents: &'a Contents) -> Self {
        let plans = contents.relations.iter();
        Self {
            contents,
            by_name: plans
                .map(|plan| ((plan.schema.as_str(), plan.name.as_str()), plan))
                .collect(),
            post: contents.entries.iter().map(|entry| entry.id).collect(),
            structural: BTreeSet::new(),
            unsettled: BTreeSet::new(),
            order: Order::default(),
        }
    }

    fn sort(mut self) -> Order {
        let mut grants = Vec::new();
        for entry in &self.contents.entries {
            if entry.defn.trim().is_empty() {
                continue;
            }
            match entry.pass() {
                Pass::Main => self.main(entry),
                Pass::Grants => grants.push(self.step(entry)),
                Pass::Last => {
                    let step = self.step(entry);
                    self.order.last.push(step);
                }
            }
        }
        self.order.rest.append(&mut grants);
        self.order.settled = self.settled();
        self.order
    }

    fn main(&mut self, entry: &Entry) {
        match entry.desc.as_str() {
            "INDEX" => self.order.indexes += 1,
            "CONSTRAINT" | "FK CONSTRAINT" | "CHECK CONSTRAINT" => self.order.constraints += 1,
            _ => {}
        }
        let depends_on_rest = entry
            .dependencies
            .iter()
            .any(|id| self.post.contains(id) && !self.structural.contains(id));
        let structural = matches!(
            entry.desc.as_str(),
            "INDEX" | "INDEX ATTACH" | "CONSTRAINT" | "CHECK CONSTRAINT"
        );
        if entry.desc == "FK CONSTRAINT" && !depends_on_rest {
            self.foreign_key(entry);
        } else if structural && !depends_on_rest {
            self.structural.insert(entry.id);
            self.structure(entry);
        } else {
            if structural || entry.desc == "STATISTICS" {
                self.unsettled.extend(self.table_of(entry));
            }
            let step = self.step(entry);
            self.order.rest.push(step);
        }
    }

    fn structure(&mut self, entry: &Entry) {
        let waits = entry.dependencies.iter().any(|id| self.post.contains(id));
        let table = self.table_of(entry);
        let ordinary = table.is_some_and(|table| self.kind(table) == Some('r'));
        let Some(table) = table.filter(|_| ordinary && !waits) else {
            self.unsettled.extend(table);
            let step = self.step(entry);
            self.order.structure.push(step);
            return;
        };
        let plan = self
            .by_name
            .get(&(table.0.as_str(), table.1.as_str()))
            .copied();
        match (entry.desc.as_str(), plan) {
            ("INDEX", Some(plan)) if is_one_statement(&entry.defn) => {
                let step = self.step(entry);
                self.order.early.push(Early {
                    relation: plan.id,
                    inverted: is_inverted(&step.sql),
                    step,
                });
            }
            ("CONSTRAINT", Some(plan)) => self.constraint(entry, table, plan),
            ("INDEX", Some(plan)) => {
                let step = self.step(entry);
                self.order.after.entry(plan.id).or_default().push(step);
            }
            ("INDEX" | "CONSTRAINT", None) => {
                let step = self.step(entry);
                self.order.beside.push((table.clone(), step));
            }
            _ => {
                self.unsettled.insert(table);
                let step = self.step(entry);
                self.order.structure.push(step);
            }
        }
    }

    /// Its index early and the constraint after, where the source said that this is the same.
    fn constraint(&mut self, entry: &Entry, table: &(String, String), plan: &RelationPlan) {
        let name = entry
            .tag
            .strip_prefix(&table.1)
            .and_then(|t| t.strip_prefix(' '));
        let known = plan
            .constraint_indexes
            .iter()
            .find(|index| Some(index.constraint.as_str()) == name);
        let step = match known.filter(|_| is_one_statement(&entry.defn)) {
            Some(index) => {
                let placement = entry.placement(!self.contents.no_tablespaces);
                self.order.early.push(Early {
                    relation: plan.id,
                    inverted: false,
                    step: Step {
                        label: format!("INDEX {}.{}", plan.schema, index.constraint),
                        sql: format!("{placement}{}", index.create_index),
                    },
                });
                Step {
                    label: entry.label(),
                    sql: index.attach.clone(),
                }
            }
            None => self.step(entry),
        };
        self.order.after.entry(plan.id).or_default().push(step);
    }

    /// Statistics of expressions and those that were asked for need their index or definition first.
    fn settled(&self) -> BTreeSet<u32> {
        let plans = self.contents.relations.iter();
        plans
            .filter(|plan| plan.kind == RelationKind::Table)
            .filter(|plan| {
                let name = (plan.schema.clone(), plan.name.clone());
                self.contents.alone.contains(&name) && !self.unsettled.contains(&name)
            })
            .map(|plan| plan.id)
            .collect()
    }

    fn foreign_key(&mut self, entry: &Entry) {
        let tables: Vec<_> = entry
            .dependencies
            .iter()
            .filter_map(|id| self.contents.tables.get(id))
            .collect();
        let defn = entry.defn.trim_end().trim_end_matches(';');
        let Some(table) = tables.iter().copied().find(|table| {
            entry.tag.starts_with(&format!("{} ", table.1)) && table.0 == entry.namespace
        }) else {
            let step = self.step(entry);
            self.order.rest.push(step);
            return;
        };
        let ordinary = self.kind(table) == Some('r');
        let later = ordinary && !defn.contains("NOT VALID") && is_one_statement(&entry.defn);
        let name = &entry.tag[table.1.len() + 1..];
        let foreign_key = if later {
            let full = crate::engine::postgres::quote::qualified(&table.0, &table.1);
            let constraint = crate::engine::postgres::quote::ident(name);
            ForeignKey {
                table: table.clone(),
                add: Step {
                    label: entry.label(),
                    sql: format!("{defn} NOT VALID"),
                },
                validate: Some(Step {
                    label: format!("validating {}", entry.label()),
                    sql: format!("ALTER TABLE {full} VALIDATE CONSTRAINT {constraint}"),
                }),
            }
        } else {
            ForeignKey {
                table: table.clone(),
                add: self.step(entry),
                validate: None,
            }
        };
        self.order.foreign_keys.push(foreign_key);
        self.order.related.extend(tables.into_iter().cloned());
    }

    fn step(&self, entry: &Entry) -> Step {
        Step {
            label: entry.label(),
            sql: entry.statements(!self.contents.no_tablespaces),
        }
    }

    fn table_of(&self, entry: &Entry) -> Option<&'a (String, String)> {
        let mut ids = entry.dependencies.iter();
        ids.find_map(|id| self.contents.tables.get(id))
    }

    fn kind(&self, table: &(String, String)) -> Option<char> {
        self.contents.kinds.get(table).copied()
    }
}

/// Entries may carry more than their CREATE: what marks a table for CLUSTER or replication, and
/// that needs the table alone.
fn is_one_statement(defn: &str) -> bool {
    !defn.trim_end().trim_end_matches(';').contains(";\n")
}

fn is_inverted(sql: &str) -> bool {
    let lower = sql.to_ascii_lowercase();
    [" using gin ", " using gist "]
        .iter()
        .any(|method| lower.contains(method))
}

#[cfg(test)]
mod tests;
