//! The COPY statements of an image: the same columns and rows on both ends.

use holdfast_proto::image::{CopyFormat, Part, RelationKind, RelationPlan};

use super::quote::{list, qualified};

/// What stands around the rows in the binary form. Rows travel without it.
pub const BINARY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
pub const BINARY_TRAILER: &[u8] = &[0xff, 0xff];

/// Where the statements that make large objects wait on the target.
const MAKING: &str = "pg_temp.holdfast_large_objects";
/// The relation that stands for the large objects themselves: owners, grants, comments.
pub const LARGE_OBJECTS: &str = "pg_largeobject_metadata";

/// One row a large object: its number, and the statements that make it as it is here.
const MAKE_LARGE_OBJECTS: &str = "\
    SELECT m.oid, pg_catalog.format('SELECT pg_catalog.lo_create(%1$s) WHERE NOT EXISTS \
      (SELECT FROM pg_catalog.pg_largeobject_metadata WHERE oid = %1$s);ALTER LARGE OBJECT %1$s OWNER TO %2$I;', \
      m.oid, pg_catalog.pg_get_userbyid(m.lomowner)) \
    || CASE WHEN m.lomacl IS NULL THEN '' ELSE pg_catalog.format('REVOKE ALL ON LARGE OBJECT %s FROM %I;', \
      m.oid, pg_catalog.pg_get_userbyid(m.lomowner)) END \
    || coalesce((SELECT pg_catalog.string_agg(pg_catalog.format('GRANT %s ON LARGE OBJECT %s TO %s%s;', a.privilege_type, m.oid, \
      CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END, \
      CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), '' \
      ORDER BY pg_catalog.pg_get_userbyid(a.grantee) COLLATE \"C\", a.privilege_type) \
      FROM pg_catalog.aclexplode(m.lomacl) a), '') \
    || coalesce((SELECT pg_catalog.format('COMMENT ON LARGE OBJECT %s IS %L;', m.oid, d.description) \
      FROM pg_catalog.pg_description d WHERE d.objoid = m.oid \
      AND d.classoid = 'pg_catalog.pg_largeobject'::pg_catalog.regclass AND d.objsubid = 0), '') \
    || coalesce((SELECT pg_catalog.string_agg(pg_catalog.format('SECURITY LABEL FOR %I ON LARGE OBJECT %s IS %L;', l.provider, m.oid, \
      l.label), '' ORDER BY l.provider COLLATE \"C\") FROM pg_catalog.pg_seclabel l WHERE l.objoid = m.oid \
      AND l.classoid = 'pg_catalog.pg_largeobject'::pg_catalog.regclass), '') \
    FROM pg_catalog.pg_largeobject_metadata m";

/// What must be run after the rows of [`LARGE_OBJECTS`], in the same transaction.
#[must_use]
pub fn make_large_objects() -> String {
    format!(
        "DO $do$ DECLARE each record; BEGIN \
         FOR each IN SELECT statements FROM {MAKING} ORDER BY number LOOP EXECUTE each.statements; END LOOP; \
         END $do$"
    )
}

/// What must be run before them.
#[must_use]
pub fn await_large_objects() -> String {
    format!("CREATE TEMPORARY TABLE {MAKING} (number oid, statements text) ON COMMIT DROP")
}

/// Whether the rows are statements that make large objects.
#[must_use]
pub fn makes_large_objects(plan: &RelationPlan) -> bool {
    plan.kind == RelationKind::LargeObjects && plan.name == LARGE_OBJECTS
}

/// Reads one part.
#[must_use]
pub fn out(plan: &RelationPlan, part: Option<&Part>, by_root: bool) -> String {
    let form = form(plan.format);
    let table = qualified(&plan.schema, &plan.name);
    let columns = list(&plan.columns);
    if makes_large_objects(plan) {
        return format!("COPY ({MAKE_LARGE_OBJECTS}) TO STDOUT {form}");
    }
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
            // The table may have grown since its pages were counted: the last part takes all that is left.
            let border = if part.index + 1 == plan.parts {
                String::new()
            } else {
                format!(" AND ctid < '({end},0)'::pg_catalog.tid")
            };
            format!(
                "COPY (SELECT {columns} FROM ONLY {table} \
                 WHERE ctid >= '({first},0)'::pg_catalog.tid{border}) TO STDOUT {form}"
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
    if makes_large_objects(plan) {
        return format!("COPY {MAKING} FROM STDIN (FORMAT {format})");
    }
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
