//! The COPY statements of an image: the same columns and rows on both ends.

use holdfast_proto::image::{CopyFormat, Part, RelationKind, RelationPlan};

use super::quote::{list, qualified};

/// Reads one part.
#[must_use]
pub fn out(plan: &RelationPlan, part: Option<&Part>, by_root: bool) -> String {
    let form = form(plan.format);
    let table = qualified(&plan.schema, &plan.name);
    let columns = list(&plan.columns);
    if plan.kind == RelationKind::LargeObjects {
        return format!("COPY (SELECT {columns} FROM {table}) TO STDOUT {form}");
    }
    if by_root {
        return format!("COPY (SELECT {columns} FROM {table}) TO STDOUT {form}");
    }
    if !plan.filter.is_empty() {
        let filter = &plan.filter;
        return format!("COPY (SELECT {columns} FROM ONLY {table} {filter}) TO STDOUT {form}");
    }
    match part.filter(|part| part.end_page > 0) {
        Some(part) => {
            let (first, end) = (part.first_page, part.end_page);
            format!(
                "COPY (SELECT {columns} FROM ONLY {table} \
                 WHERE ctid >= '({first},0)'::pg_catalog.tid AND ctid < '({end},0)'::pg_catalog.tid) \
                 TO STDOUT {form}"
            )
        }
        None => format!("COPY {table}{} TO STDOUT {form}", column_list(&columns)),
    }
}

/// Writes rows; `freeze` only in the transaction that made or emptied the table.
#[must_use]
pub fn into(plan: &RelationPlan, freeze: bool) -> String {
    let table = qualified(&plan.schema, &plan.name);
    let columns = list(&plan.columns);
    let format = match plan.format {
        CopyFormat::Binary => "binary",
        CopyFormat::Text => "text",
    };
    let freeze = if freeze { ", FREEZE" } else { "" };
    format!(
        "COPY {table}{} FROM STDIN (FORMAT {format}{freeze})",
        column_list(&columns)
    )
}

fn form(format: CopyFormat) -> &'static str {
    match format {
        CopyFormat::Binary => "(FORMAT binary)",
        CopyFormat::Text => "(FORMAT text)",
    }
}

/// A table may have no columns, or only generated ones: then there is nothing to list.
fn column_list(columns: &str) -> String {
    if columns.is_empty() {
        String::new()
    } else {
        format!(" ({columns})")
    }
}

#[cfg(test)]
mod tests {
    use holdfast_proto::image::Hash128;

    use super::*;

    fn plan() -> RelationPlan {
        RelationPlan {
            id: 0,
            schema: "a.b".to_owned(),
            name: "t".to_owned(),
            kind: RelationKind::Table,
            columns: vec!["x".to_owned(), "y z".to_owned()],
            format: CopyFormat::Binary,
            parts: 1,
            estimated_bytes: 0,
            filter: String::new(),
            constraint_indexes: Vec::new(),
        }
    }

    #[test]
    fn a_table_whole_in_parts_and_filtered() {
        let mut plan = plan();
        assert_eq!(
            out(&plan, None, false),
            r#"COPY "a.b"."t" ("x", "y z") TO STDOUT (FORMAT binary)"#
        );
        let part = Part {
            index: 1,
            first_page: 16,
            end_page: 32,
            rows: 0,
            bytes: 0,
            bytes_hash: Hash128(0),
        };
        assert!(out(&plan, Some(&part), false).contains("ctid >= '(16,0)'"));
        plan.filter = "WHERE x > 1".to_owned();
        assert!(out(&plan, None, false).contains(r#"FROM ONLY "a.b"."t" WHERE x > 1)"#));
        assert_eq!(
            into(&plan, true),
            r#"COPY "a.b"."t" ("x", "y z") FROM STDIN (FORMAT binary, FREEZE)"#
        );
    }

    #[test]
    fn a_table_without_columns_still_has_rows() {
        let mut plan = plan();
        plan.columns.clear();
        assert_eq!(
            out(&plan, None, false),
            r#"COPY "a.b"."t" TO STDOUT (FORMAT binary)"#
        );
        assert_eq!(
            into(&plan, false),
            r#"COPY "a.b"."t" FROM STDIN (FORMAT binary)"#
        );
    }
}
