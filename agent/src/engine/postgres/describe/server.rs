//! The server as a whole, and the row of one database in its list.

use holdfast_proto::task::{
    DatabaseFacts, DatabaseGrant, DatabaseProperties, DatabaseSetting, Extension,
};
use tokio_postgres::{Client, Error};

pub(super) async fn read(
    client: &Client,
    database: &str,
    facts: &mut DatabaseFacts,
) -> Result<(), Error> {
    let row = client
        .query_one(
            "SELECT (SELECT system_identifier::text FROM pg_catalog.pg_control_system()), \
             pg_catalog.current_setting('server_version'), \
             pg_catalog.current_setting('server_version_num')::int, pg_catalog.pg_is_in_recovery(), \
             (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)",
            &[],
        )
        .await?;
    facts.system_identifier = row.get(0);
    facts.server_version = row.get(1);
    facts.version_num = u32::try_from(row.get::<_, i32>(2)).unwrap_or_default();
    facts.in_recovery = row.get(3);
    facts.is_superuser = row.get(4);
    facts.sessions = sessions(client, database).await?;
    read_row(client, database, facts).await
}

/// Superusers and members of `pg_read_all_settings` are told; to anybody else there are none.
pub(super) async fn preload_libraries(client: &Client) -> Result<String, Error> {
    let row = client
        .query_opt(
            "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'shared_preload_libraries'",
            &[],
        )
        .await?;
    Ok(row.map(|row| row.get(0)).unwrap_or_default())
}

async fn sessions(client: &Client, database: &str) -> Result<u32, Error> {
    let row = client
        .query_one(
            "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE datname = $1 \
             AND pid <> pg_catalog.pg_backend_pid() AND application_name NOT LIKE 'holdfast%'",
            &[&database],
        )
        .await?;
    Ok(u32::try_from(row.get::<_, i64>(0)).unwrap_or(u32::MAX))
}

async fn read_row(client: &Client, database: &str, facts: &mut DatabaseFacts) -> Result<(), Error> {
    // The columns that say so were renamed from version to version.
    let (provider, locale) = match facts.version_num / 10_000 {
        ..15 => ("'c'", "NULL"),
        15 | 16 => ("d.datlocprovider::text", "d.daticulocale"),
        _ => ("d.datlocprovider::text", "d.datlocale"),
    };
    let sql = format!(
        "SELECT d.oid, pg_catalog.pg_get_userbyid(d.datdba)::text, \
         pg_catalog.pg_encoding_to_char(d.encoding)::text, d.datcollate::text, d.datctype::text, \
         {provider}, {locale}::text, d.datconnlimit, d.datacl IS NULL, \
         pg_catalog.shobj_description(d.oid, 'pg_database') \
         FROM pg_catalog.pg_database d WHERE d.datname = $1"
    );
    let Some(row) = client.query_opt(&sql, &[&database]).await? else {
        return Ok(());
    };
    let oid: u32 = row.get(0);
    facts.exists = true;
    facts.owner = row.get(1);
    facts.encoding = row.get(2);
    facts.collate = row.get::<_, Option<String>>(3).unwrap_or_default();
    facts.ctype = row.get::<_, Option<String>>(4).unwrap_or_default();
    facts.locale_provider = match row.get::<_, String>(5).as_str() {
        "i" => "icu",
        "b" => "builtin",
        _ => "libc",
    }
    .to_owned();
    facts.icu_locale = row.get::<_, Option<String>>(6).unwrap_or_default();
    facts.properties = DatabaseProperties {
        comment: row.get::<_, Option<String>>(9).unwrap_or_default(),
        settings: settings(client, oid).await?,
        // Grants that were never touched are the same everywhere.
        grants: if row.get(8) {
            Vec::new()
        } else {
            grants(client, oid).await?
        },
        connection_limit: row.get(7),
    };
    Ok(())
}

async fn settings(client: &Client, database: u32) -> Result<Vec<DatabaseSetting>, Error> {
    let rows = client
        .query(
            "SELECT coalesce(r.rolname::text, ''), pg_catalog.split_part(c, '=', 1), \
             pg_catalog.substr(c, pg_catalog.strpos(c, '=') + 1) \
             FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole, \
             pg_catalog.unnest(s.setconfig) AS c WHERE s.setdatabase = $1 ORDER BY 1, 2",
            &[&database],
        )
        .await?;
    let setting = |row: &tokio_postgres::Row| DatabaseSetting {
        role: row.get(0),
        name: row.get(1),
        value: row.get(2),
    };
    Ok(rows.iter().map(setting).collect())
}

async fn grants(client: &Client, database: u32) -> Result<Vec<DatabaseGrant>, Error> {
    let rows = client
        .query(
            "SELECT coalesce(r.rolname::text, ''), a.privilege_type, a.is_grantable \
             FROM pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) a \
             LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee \
             WHERE d.oid = $1 AND (a.grantee = 0 OR r.oid IS NOT NULL) ORDER BY 1, 2",
            &[&database],
        )
        .await?;
    let grant = |row: &tokio_postgres::Row| DatabaseGrant {
        grantee: row.get(0),
        privilege: row.get(1),
        grantable: row.get(2),
    };
    Ok(rows.iter().map(grant).collect())
}

/// What a target can take: extensions, tablespaces, databases, locales.
pub(super) async fn read_capabilities(
    client: &Client,
    facts: &mut DatabaseFacts,
) -> Result<(), Error> {
    let rows = client
        .query(
            "SELECT v.name::text, pg_catalog.array_agg(v.version ORDER BY (v.version = e.default_version) DESC, v.version) \
             FROM pg_catalog.pg_available_extension_versions v \
             JOIN pg_catalog.pg_available_extensions e ON e.name = v.name GROUP BY 1 ORDER BY 1",
            &[],
        )
        .await?;
    facts.extensions = rows
        .iter()
        .map(|row| Extension {
            name: row.get(0),
            versions: row.get(1),
        })
        .collect();
    facts.tablespaces = names(
        client,
        "SELECT spcname::text FROM pg_catalog.pg_tablespace ORDER BY 1",
    )
    .await?;
    facts.databases = names(
        client,
        "SELECT datname::text FROM pg_catalog.pg_database ORDER BY 1",
    )
    .await?;
    facts.locales = names(
        client,
        "SELECT DISTINCT x FROM pg_catalog.pg_collation, \
         LATERAL (VALUES (collcollate::text), (collctype::text), (collname::text)) AS v(x) \
         WHERE collprovider = 'c' AND x IS NOT NULL AND x <> '' ORDER BY 1",
    )
    .await?;
    Ok(())
}

pub(super) async fn names(client: &Client, sql: &str) -> Result<Vec<String>, Error> {
    let rows = client.query(sql, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
