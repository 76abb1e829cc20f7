//! Why a row of the kept database cannot stand in the live one: statements that note the reason beside the row.
//!
//! The server would say the same of the whole statement; here each row is judged by itself. User triggers and the
//! server's own look at foreign keys rest during a merge, so that what is here about foreign keys is all there is.

use super::{
    facts::{Check, Facts, Foreign, Relation, Unique},
    stage::{ORD, STATE, Staged, WHY},
};
use crate::engine::postgres::quote::{ident, literal};

/// What a row's own values decide, and rows that stand already. Each once, in this order.
#[must_use]
pub fn of_rows(facts: &Facts, staged: &Staged, take: bool) -> Vec<String> {
    let Some(relation) = facts.relation(staged.oid) else {
        return Vec::new();
    };
    let mut statements = required(relation, staged, take);
    let checks = facts.checks.iter();
    let checks = checks.filter(|check| check.table == staged.oid);
    statements.extend(checks.map(|check| broken_check(check, staged, take)));
    let uniques = || facts.uniques.iter().filter(|u| u.table == staged.oid);
    statements.extend(uniques().map(|unique| taken_by_live(unique, relation, staged, take)));
    statements.extend(uniques().map(|unique| taken_by_another(unique, staged, take)));
    if take {
        let referring = facts.foreign.iter().filter(|f| f.parent == staged.oid);
        let referring = referring.filter(|foreign| beyond_key(foreign, relation));
        statements.extend(referring.filter_map(|f| still_referred_to(f, relation, facts, staged)));
    }
    statements
}

/// Rows whose parent is not there. To be repeated until nothing is refused any more: a refused row is no parent.
#[must_use]
pub fn orphans(facts: &Facts, staged: &[Staged], take: bool) -> Vec<String> {
    let mut statements = Vec::new();
    for foreign in &facts.foreign {
        let child = staged.iter().find(|known| known.oid == foreign.child);
        let (Some(child), Some(parent)) = (child, facts.relation(foreign.parent)) else {
            continue;
        };
        let arriving = staged.iter().find(|known| known.oid == foreign.parent);
        statements.push(orphan(foreign, child, parent, arriving, take));
    }
    statements
}

/// Rows that are to be written, and that nothing speaks against.
#[must_use]
pub fn wanted(alias: &str, take: bool) -> String {
    let states = if take { "'n', 'c'" } else { "'n'" };
    format!("({alias}.{STATE} IN ({states}) AND {alias}.{WHY} IS NULL)")
}

/// `a=1, b=2` of a row.
#[must_use]
pub fn key_text(relation: &Relation, alias: &str) -> String {
    let parts = relation.table.key.iter().map(|column| {
        let name = literal(&format!("{column}="));
        format!(
            "{name} || pg_catalog.left({alias}.{}::text, 100)",
            ident(column)
        )
    });
    let parts: Vec<_> = parts.collect();
    format!("pg_catalog.concat_ws(', ', {})", parts.join(", "))
}

fn required(relation: &Relation, staged: &Staged, take: bool) -> Vec<String> {
    let columns = relation.table.columns.iter();
    let columns = columns.filter(|column| column.required && !column.generated);
    let statements = columns.filter_map(|column| {
        let brought = staged.pair.columns.contains(&column.name);
        let why = literal(&format!("column {} must have a value", column.name));
        let table = &staged.name;
        let condition = if brought {
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
        Some(format!(
            "UPDATE {table} s SET {WHY} = {why} WHERE {condition}"
        ))
    });
    statements.collect()
}

fn broken_check(check: &Check, staged: &Staged, take: bool) -> String {
    let why = literal(&format!("it breaks the check {}", check.name));
    format!(
        "UPDATE {} s SET {WHY} = {why} WHERE {} AND NOT ({})",
        staged.name,
        wanted("s", take),
        check.expression
    )
}

/// Another live row, not the one of the same key, has what must be unique.
fn taken_by_live(unique: &Unique, relation: &Relation, staged: &Staged, take: bool) -> String {
    let sides = |from: &str, alias: &str, more: &str| {
        let parts = unique.parts.iter().enumerate();
        let parts = parts.map(|(at, (expression, _))| format!("({expression}) AS x{at}"));
        let keys = relation.table.key.iter().enumerate();
        let keys = keys.map(|(at, column)| format!("{} AS k{at}", ident(column)));
        let list: Vec<_> = parts.chain(keys).collect();
        let predicate = predicate(unique);
        format!(
            "(SELECT {}{more} FROM {from} {alias} WHERE {predicate}",
            list.join(", ")
        )
    };
    let live_key = format!(", {} AS held", key_text(relation, "l"));
    let ours = sides(&staged.name, "s", &format!(", s.{ORD} AS ord"));
    let theirs = sides(&relation.from(), "l", &live_key);
    let keys = relation.key_operators.iter().enumerate();
    let same = keys.map(|(at, operator)| format!("o.k{at} {operator} t.k{at}"));
    let same: Vec<_> = same.collect();
    format!(
        "UPDATE {} s SET {WHY} = {} || x.held FROM (SELECT o.ord, t.held FROM {ours} AND {}) o JOIN {theirs}) t \
         ON {} AND NOT ({})) x WHERE s.{ORD} = x.ord",
        staged.name,
        literal(&format!(
            "{} allows it once, and it is in the live row ",
            unique.name
        )),
        wanted("s", take),
        excludes(unique, "o", "t"),
        same.join(" AND ")
    )
}

/// Of two rows that come, the first may stand.
fn taken_by_another(unique: &Unique, staged: &Staged, take: bool) -> String {
    let parts = unique.parts.iter().enumerate();
    let parts = parts.map(|(at, (expression, _))| format!("({expression}) AS x{at}"));
    let parts: Vec<_> = parts.collect();
    let side = format!(
        "(SELECT {}, s.{ORD} AS ord FROM {} s WHERE {} AND {})",
        parts.join(", "),
        staged.name,
        predicate(unique),
        wanted("s", take)
    );
    format!(
        "UPDATE {} s SET {WHY} = {} FROM (SELECT o.ord FROM {side} o JOIN {side} t ON {} AND t.ord < o.ord) x \
         WHERE s.{ORD} = x.ord",
        staged.name,
        literal(&format!(
            "{} allows it once, and another row that comes has it",
            unique.name
        )),
        excludes(unique, "o", "t"),
    )
}

fn predicate(unique: &Unique) -> String {
    if unique.predicate.is_empty() {
        "true".to_owned()
    } else {
        format!("({})", unique.predicate)
    }
}

fn excludes(unique: &Unique, left: &str, right: &str) -> String {
    let parts = unique.parts.iter().enumerate().map(|(at, (_, operator))| {
        let equal = format!("{left}.x{at} {operator} {right}.x{at}");
        if unique.nulls_equal {
            format!("({equal} OR ({left}.x{at} IS NULL AND {right}.x{at} IS NULL))")
        } else {
            equal
        }
    });
    parts.collect::<Vec<_>>().join(" AND ")
}

/// Whether rows are referred to by more than their key, which a merge never changes.
fn beyond_key(foreign: &Foreign, relation: &Relation) -> bool {
    let key = &relation.table.key;
    foreign
        .parent_columns
        .iter()
        .any(|name| !key.contains(name))
}

/// Live rows refer to a value that would be overwritten.
fn still_referred_to(
    foreign: &Foreign,
    relation: &Relation,
    facts: &Facts,
    staged: &Staged,
) -> Option<String> {
    let child = facts.relation(foreign.child)?;
    let brought = foreign.parent_columns.iter();
    let brought = brought.filter(|name| staged.pair.columns.contains(name));
    let differs = brought.map(|name| {
        let column = ident(name);
        format!("l.{column}::text IS DISTINCT FROM s.{column}::text")
    });
    let differs: Vec<_> = differs.collect();
    if differs.is_empty() {
        return None;
    }
    Some(format!(
        "UPDATE {} s SET {WHY} = {} FROM {} l WHERE s.{STATE} = 'c' AND s.{WHY} IS NULL AND {} AND ({}) \
         AND EXISTS (SELECT FROM {} c WHERE {})",
        staged.name,
        literal(&format!(
            "rows of {} refer to what would be overwritten ({})",
            child.table.title(),
            foreign.name
        )),
        relation.from(),
        relation.same_key("l", "s"),
        differs.join(" OR "),
        child.from(),
        refers(foreign, "l", "c")
    ))
}

fn orphan(
    foreign: &Foreign,
    child: &Staged,
    parent: &Relation,
    arriving: Option<&Staged>,
    take: bool,
) -> String {
    let columns = || {
        foreign
            .child_columns
            .iter()
            .map(|c| format!("s.{}", ident(c)))
    };
    let all = |test: &str, word: &str| -> String {
        let parts: Vec<_> = columns().map(|column| format!("{column} {test}")).collect();
        parts.join(word)
    };
    let mut there = format!(
        "EXISTS (SELECT FROM {} p WHERE {})",
        parent.from(),
        refers(foreign, "p", "s")
    );
    if let Some(arriving) = arriving {
        there.push_str(&format!(
            " OR EXISTS (SELECT FROM {} p WHERE {} AND {})",
            arriving.name,
            wanted("p", take),
            refers(foreign, "p", "s")
        ));
    }
    let missing = format!("({} AND NOT ({there}))", all("IS NOT NULL", " AND "));
    let broken = if foreign.full {
        let half = format!(
            "(({}) AND ({}))",
            all("IS NULL", " OR "),
            all("IS NOT NULL", " OR ")
        );
        format!("({missing} OR {half})")
    } else {
        missing
    };
    let why = format!(
        "{} refers to a row of {} that does not stand: ({})=",
        foreign.name,
        parent.table.title(),
        foreign.child_columns.join(", ")
    );
    let values: Vec<_> = columns().map(|column| format!("{column}::text")).collect();
    format!(
        "UPDATE {} s SET {WHY} = {} || '(' || pg_catalog.concat_ws(', ', {}) || ')' WHERE {} AND {broken}",
        child.name,
        literal(&why),
        values.join(", "),
        wanted("s", take)
    )
}

/// `parent` stands for what `child` refers to.
#[must_use]
pub fn refers(foreign: &Foreign, parent: &str, child: &str) -> String {
    let columns = foreign.parent_columns.iter().zip(&foreign.child_columns);
    let parts = columns
        .zip(&foreign.operators)
        .map(|((up, down), operator)| {
            format!("{parent}.{} {operator} {child}.{}", ident(up), ident(down))
        });
    parts.collect::<Vec<_>>().join(" AND ")
}
