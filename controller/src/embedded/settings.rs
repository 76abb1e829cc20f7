//! The server's own settings files: written anew at each start.

use std::path::Path;

use super::{EmbeddedError, Owner, PORT, ROLE, files};

/// # Errors
/// When a file in the data directory cannot be written.
pub fn write(data: &Path, sockets: &Path, owner: &Owner) -> Result<(), EmbeddedError> {
    for (name, content) in [
        ("postgresql.conf", server(sockets)),
        ("pg_hba.conf", admission()),
        ("pg_ident.conf", users(owner)),
    ] {
        let path = data.join(name);
        files::replace(&path, &content, owner).map_err(|source| EmbeddedError::Files {
            doing: "write",
            path,
            source,
        })?;
    }
    Ok(())
}

/// Small: the catalog is megabytes, not gigabytes.
fn server(sockets: &Path) -> String {
    format!(
        "# Written by holdfast-controller at each start; what you change here is lost.\n\
         # Put settings of your own into postgresql.local.conf beside this file.\n\
         listen_addresses = ''\n\
         unix_socket_directories = {}\n\
         unix_socket_permissions = 0700\n\
         port = {PORT}\n\
         cluster_name = 'holdfast catalog'\n\
         max_connections = 100\n\
         shared_buffers = 64MB\n\
         effective_cache_size = 256MB\n\
         max_wal_size = 512MB\n\
         fsync = on\n\
         synchronous_commit = on\n\
         full_page_writes = on\n\
         wal_level = replica\n\
         password_encryption = scram-sha-256\n\
         timezone = 'UTC'\n\
         log_timezone = 'UTC'\n\
         lc_messages = 'C'\n\
         logging_collector = off\n\
         log_destination = stderr\n\
         log_line_prefix = '%m [%p] '\n\
         log_min_duration_statement = 5s\n\
         include_if_exists = 'postgresql.local.conf'\n",
        quoted(&sockets.to_string_lossy())
    )
}

fn admission() -> String {
    "# Written by holdfast-controller at each start.\n\
     local all all peer map=holdfast\n"
        .to_owned()
}

/// The controller may be root; the server's user is for an operator with `psql`.
fn users(owner: &Owner) -> String {
    let mut content = "# Written by holdfast-controller at each start.\n".to_owned();
    if owner.is_another() {
        content.push_str(&format!("holdfast root {ROLE}\n"));
    }
    content.push_str(&format!("holdfast \"{}\" {ROLE}\n", owner.name()));
    content
}

fn quoted(text: &str) -> String {
    // The setting is a list: a path with a comma has to be quoted inside as well.
    let inner = format!("\"{}\"", text.replace('"', "\"\""));
    format!("'{}'", inner.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_for_the_list_and_for_the_file() {
        assert_eq!(quoted("/a b/c,d"), "'\"/a b/c,d\"'");
        assert_eq!(quoted("/it's"), "'\"/it''s\"'");
    }
}
