//! What each kind of our sessions sets, so that a role's or a database's own settings change nothing.

/// Values look the same whoever wrote them, on both ends. `lc_monetary` matters to `money` alone.
const COMMON: &str = "\
    SELECT pg_catalog.set_config('search_path', '', false);\
    SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC';\
    SET extra_float_digits = 3; SET bytea_output = 'hex'; SET lc_monetary = 'C';\
    SET standard_conforming_strings = on; SET row_security = off; SET xmloption = content;\
    SET quote_all_identifiers = off; SET client_min_messages = warning; SET jit = off;\
    SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0;\
    SELECT pg_catalog.set_config(name, '2s', false) FROM pg_catalog.pg_settings \
    WHERE name = 'client_connection_check_interval';";

/// A server without an encoding converts nothing, and must not check either.
const ENCODING: &str = "\
    SELECT pg_catalog.set_config('client_encoding', \
    CASE pg_catalog.getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END, false);";

/// For sessions that look around or rename: whoever holds a lock for long is named, not waited for without end.
pub const LOCK_LIMIT: &str = "SET lock_timeout = '60s'";

/// Reads rows by COPY, in one process, every table from its first page.
#[must_use]
pub fn reader() -> String {
    format!(
        "{COMMON}{ENCODING}SET synchronize_seqscans = off; SET max_parallel_workers_per_gather = 0;\
         SET default_transaction_isolation = 'repeatable read'; SET default_transaction_read_only = on;"
    )
}

/// Loads rows and builds on the target.
#[must_use]
pub fn writer(maintenance_mib: u64) -> String {
    format!(
        "{COMMON}{ENCODING}SET default_transaction_read_only = off; SET synchronous_commit = off;\
         SET check_function_bodies = off; SET max_parallel_maintenance_workers = 0;\
         SET synchronize_seqscans = off; SET maintenance_work_mem = '{maintenance_mib}MB';"
    )
}

/// Memory for one index build: an eighth of what is free, shared by the builders, 64 to 512 MiB.
#[must_use]
pub fn maintenance_mib(free_bytes: u64, builders: u64) -> u64 {
    (free_bytes / (8 << 20) / builders.max(1)).clamp(64, 512)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_follows_what_is_free() {
        assert_eq!(maintenance_mib(0, 2), 64);
        assert_eq!(maintenance_mib(4 << 30, 2), 256);
        assert_eq!(maintenance_mib(64 << 30, 2), 512);
    }
}
