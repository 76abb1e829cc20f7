//! Roles: all of a server, or those that a database cannot do without.

use holdfast_proto::task::Role;
use tokio_postgres::{Client, Error, Row};

/// Of each: its own rights, and whose member it is.
const ROLES: &str = "\
    SELECT r.rolname::text, r.rolcanlogin, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolsuper, \
      r.rolreplication, r.rolbypassrls, \
      ARRAY(SELECT g.rolname::text FROM pg_catalog.pg_auth_members m \
            JOIN pg_catalog.pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid ORDER BY 1) \
    FROM pg_catalog.pg_roles r WHERE r.rolname !~ '^pg_'";

pub(super) async fn all(client: &Client) -> Result<Vec<Role>, Error> {
    let rows = client.query(&format!("{ROLES} ORDER BY 1"), &[]).await?;
    Ok(rows.iter().map(role).collect())
}

/// Owners and whoever is granted something, in this database or on it, and whose members they are.
///
/// The server keeps that list itself, for every kind of object, so that no role in use is dropped.
/// Owners by the bootstrap superuser are not in it, nor are grants before they were ever changed.
pub async fn used(client: &Client, database: &str) -> Result<Vec<Role>, Error> {
    let sql = format!(
        "WITH RECURSIVE here AS (SELECT oid, datdba FROM pg_catalog.pg_database WHERE datname = $1), \
         used AS ( \
           SELECT s.refobjid AS role FROM pg_catalog.pg_shdepend s, here \
             WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass \
             AND (s.dbid = here.oid OR (s.dbid = 0 AND s.objid = here.oid \
                  AND s.classid = 'pg_catalog.pg_database'::pg_catalog.regclass)) \
           UNION SELECT datdba FROM here \
           UNION SELECT c.relowner FROM pg_catalog.pg_class c WHERE c.oid >= 16384 \
           UNION SELECT n.nspowner FROM pg_catalog.pg_namespace n WHERE n.oid >= 16384 \
           UNION SELECT p.proowner FROM pg_catalog.pg_proc p WHERE p.oid >= 16384 \
           UNION SELECT t.typowner FROM pg_catalog.pg_type t WHERE t.oid >= 16384 \
           UNION SELECT l.lomowner FROM pg_catalog.pg_largeobject_metadata l \
           UNION SELECT s.setrole FROM pg_catalog.pg_db_role_setting s, here \
             WHERE s.setdatabase = here.oid AND s.setrole <> 0 \
           UNION SELECT m.roleid FROM pg_catalog.pg_auth_members m JOIN used ON used.role = m.member \
         ) {ROLES} AND r.oid IN (SELECT role FROM used) ORDER BY 1"
    );
    let rows = client.query(&sql, &[&database]).await?;
    Ok(rows.iter().map(role).collect())
}

fn role(row: &Row) -> Role {
    Role {
        name: row.get(0),
        login: row.get(1),
        inherit: row.get(2),
        create_role: row.get(3),
        create_db: row.get(4),
        superuser: row.get(5),
        replication: row.get(6),
        bypass_rls: row.get(7),
        member_of: row.get(8),
        default_roles: Vec::new(),
    }
}
