//! Why a row of the kept database cannot stand in the live one: statements that note the reason beside the row.
//!
//! The server's own look at foreign keys rests during a merge, since it would refuse rows that refer to one another:
//! what is here about them is all there is.

use super::{
    ORD, OTHER, STATE, Staged, WHY,
    facts::{Facts, Foreign, Unique, same_key},
};
use crate::engine::mariadb::{
    check_constraints::Check,
    quote::{ident, literal, qualified},
};

/// Statements that belong together: the last of them refuses rows.
pub type Rule = Vec<String>;

/// What a row's own values decide, and rows that stand already. Each once, in this order.
#[must_use]
pub fn of_rows(facts: &Facts, staged: &Staged, take: bool) -> Vec<Rule> {
    let table = &staged.pair.live.name;
    let mut rules = required(staged, take);
    let checks = facts.checks.iter().filter(|check| &check.table == table);
    rules.extend(checks.map(|check| vec![broken_check(check, staged, take)]));
    // One that is over a column which does not travel is left to the server.
    let travels = |unique: &&Unique| {
        let mut parts = unique.parts.iter();
        parts.all(|(column, _)| staged.pair.columns.contains(column))
    };
    let uniques = || {
        let uniques = facts.uniques.iter();
        uniques.filter(|u| &u.table == table).filter(travels)
    };
    rules.extend(uniques().map(|unique| vec![taken_by_live(facts, unique, staged, take)]));
    rules.extend(uniques().map(|unique| taken_by_another(unique, staged, take)));
    if take {
        let referring = facts.foreign.iter().filter(|foreign| {
            let key = &staged.pair.live.key;
            foreign.parent == (facts.database.clone(), table.clone())
                && foreign.columns.iter().any(|(_, up)| !key.contains(up))
        });
        rules.extend(referring.map(|foreign| vec![still_referred_to(facts, foreign, staged)]));
    }
    rules
}

/// Rows whose parent is not there. To be repeated until nothing is refused any more: a refused row is no parent.
#[must_use]
pub fn orphans(facts: &Facts, staged: &[Staged], take: bool) -> Vec<Rule> {
    let of = |table: &(String, String)| {
        staged
            .iter()
            .find(|known| *table == (facts.database.clone(), known.pair.live.name.clone()))
    };
    let foreign = facts.foreign.iter();
    let rules = foreign.filter_map(|foreign| {
        let child = of(&foreign.child)?;
        Some(orphan(foreign, child, of(&foreign.parent), take))
    });
    rules.collect()
}

/// Rows that are to be written, and that nothing speaks against.
#[must_use]
pub fn wanted(alias: &str, take: bool) -> String {
    let states = if take { "'n', 'c'" } else { "'n'" };
    format!("({alias}.{STATE} IN ({states}) AND {alias}.{WHY} IS NULL)")
}

fn required(staged: &Staged, take: bool) -> Vec<Rule> {
    let columns = staged.pair.live.columns.iter();
    let columns = columns.filter(|column| column.required && !column.generated);
    let rules = columns.filter_map(|column| {
        let condition = if staged.pair.columns.contains(&column.name) {
            format!(
                "{} AND s.{} IS NULL",
                wanted("s", take),
                ident(&column.name)
            )
        } else if column.filled {
            return None;
        } else {
            wanted("s", false)
        };
        let why = literal(&format!("column {} must have a value", column.name));
        Some(vec![format!(
            "UPDATE {} s SET s.{WHY} = {why} WHERE {condition}",
            staged.name
        )])
    });
    rules.collect()
}

fn broken_check(check: &Check, staged: &Staged, take: bool) -> String {
    format!(
        "UPDATE {} s SET s.{WHY} = {} WHERE {} AND NOT ({})",
        staged.name,
        literal(&format!("it breaks the check {}", check.name)),
        wanted("s", take),
        check.clause
    )
}

/// Another live row, not the one of the same key, has what must be unique.
fn taken_by_live(facts: &Facts, unique: &Unique, staged: &Staged, take: bool) -> String {
    let table = &staged.pair.live;
    format!(
        "UPDATE {} s JOIN {} l ON {} SET s.{WHY} = CONCAT({}, {}) WHERE {} AND NOT ({})",
        staged.name,
        facts.name_of(&table.name),
        excludes(unique, "l", "s"),
        literal(&format!(
            "{} allows it once, and it is in the live row ",
            unique.name
        )),
        facts.key_text(table, "l"),
        wanted("s", take),
        same_key(table, "l", "s")
    )
}

/// Of two rows that come, the first may stand.
fn taken_by_another(unique: &Unique, staged: &Staged, take: bool) -> Rule {
    let columns = unique
        .parts
        .iter()
        .map(|(column, _)| format!("s.{}", ident(column)));
    let columns: Vec<_> = columns.collect();
    let other = staged.beside(OTHER);
    vec![
        format!("DROP TEMPORARY TABLE IF EXISTS {other}"),
        format!(
            "CREATE TEMPORARY TABLE {other} AS SELECT s.{ORD}, {} FROM {} s WHERE {}",
            columns.join(", "),
            staged.name,
            wanted("s", take)
        ),
        format!(
            "UPDATE {} s JOIN {other} o ON {} AND o.{ORD} < s.{ORD} SET s.{WHY} = {} WHERE {}",
            staged.name,
            excludes(unique, "o", "s"),
            literal(&format!(
                "{} allows it once, and another row that comes has it",
                unique.name
            )),
            wanted("s", take)
        ),
    ]
}

fn excludes(unique: &Unique, left: &str, right: &str) -> String {
    let parts = unique.parts.iter().map(|(column, length)| {
        let column = ident(column);
        match length {
            Some(length) => {
                format!("LEFT({left}.{column}, {length}) = LEFT({right}.{column}, {length})")
            }
            None => format!("{left}.{column} = {right}.{column}"),
        }
    });
    parts.collect::<Vec<_>>().join(" AND ")
}

/// Live rows refer to a value that would be overwritten.
fn still_referred_to(facts: &Facts, foreign: &Foreign, staged: &Staged) -> String {
    let table = &staged.pair.live;
    let brought = foreign.columns.iter().map(|(_, up)| up);
    let brought = brought.filter(|name| staged.pair.columns.contains(name));
    let (child_schema, child) = &foreign.child;
    format!(
        "UPDATE {} s JOIN {} l ON {} SET s.{WHY} = {} WHERE s.{STATE} = 'c' AND s.{WHY} IS NULL AND {} \
         AND EXISTS (SELECT 1 FROM {} c WHERE {})",
        staged.name,
        facts.name_of(&table.name),
        same_key(table, "l", "s"),
        literal(&format!(
            "rows of {child} refer to what would be overwritten ({})",
            foreign.name
        )),
        facts.differ(&table.name, brought.map(String::as_str), ("l", "s")),
        qualified(child_schema, child),
        foreign.refers("l", "c")
    )
}

fn orphan(foreign: &Foreign, child: &Staged, arriving: Option<&Staged>, take: bool) -> Rule {
    let other = child.beside(OTHER);
    let (parent_schema, parent) = &foreign.parent;
    let columns: Vec<_> = foreign
        .columns
        .iter()
        .map(|(down, _)| ident(down))
        .collect();
    let given: Vec<_> = columns
        .iter()
        .map(|c| format!("s.{c} IS NOT NULL"))
        .collect();
    let values: Vec<_> = columns.iter().map(|c| format!("s.{c}")).collect();
    let mut there = format!(
        "EXISTS (SELECT 1 FROM {} p WHERE {})",
        qualified(parent_schema, parent),
        foreign.refers("p", "s")
    );
    let mut rule = vec![format!("DROP TEMPORARY TABLE IF EXISTS {other}")];
    if let Some(arriving) = arriving {
        let ups = foreign
            .columns
            .iter()
            .map(|(_, up)| format!("s.{}", ident(up)));
        let ups: Vec<_> = ups.collect();
        // A temporary table cannot be read where it is written.
        rule.push(format!(
            "CREATE TEMPORARY TABLE {other} AS SELECT {} FROM {} s WHERE {}",
            ups.join(", "),
            arriving.name,
            wanted("s", take)
        ));
        there.push_str(&format!(
            " OR EXISTS (SELECT 1 FROM {other} p WHERE {})",
            foreign.refers("p", "s")
        ));
    }
    let why = format!(
        "{} refers to a row of {parent} that does not stand: ({})=",
        foreign.name,
        foreign
            .columns
            .iter()
            .map(|(down, _)| down.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    );
    rule.push(format!(
        "UPDATE {} s SET s.{WHY} = CONCAT({}, '(', CONCAT_WS(', ', {}), ')') WHERE {} AND {} AND NOT ({there})",
        child.name,
        literal(&why),
        values.join(", "),
        wanted("s", take),
        given.join(" AND ")
    ));
    rule
}
