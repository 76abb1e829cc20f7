//! Questions of which a server may refuse one and answer the others.

use std::collections::BTreeMap;

use tokio_postgres::{Client, Error, Row};
use tracing::{info, warn};

/// What the last look could not read, and why.
pub(super) type Refused = BTreeMap<&'static str, String>;

pub(super) struct Asking<'a> {
    pub(super) client: &'a Client,
    /// For the log.
    pub(super) instance: &'a str,
    /// So that each refusal is told once, not at every look.
    pub(super) refused: &'a mut Refused,
}

impl Asking<'_> {
    /// Replaces what is known by what the server says; a refusal leaves it as it is.
    ///
    /// # Errors
    /// When the session is lost: nothing more will be answered, and that is not "there is none".
    pub(super) async fn renew<T>(
        &mut self,
        part: &'static str,
        sql: &str,
        read: impl Fn(&Row) -> Result<T, Error>,
        known: &mut Vec<T>,
    ) -> Result<(), Error> {
        let rows = self.client.query_typed(sql, &[]).await;
        match rows.and_then(|rows| rows.iter().map(read).collect()) {
            Ok(fresh) => {
                if self.refused.remove(part).is_some() {
                    info!(instance = self.instance, part, "can be read again");
                }
                *known = fresh;
                Ok(())
            }
            Err(error) if error.is_closed() || self.client.is_closed() => Err(error),
            Err(error) => {
                self.tell(part, &error);
                Ok(())
            }
        }
    }

    fn tell(&mut self, part: &'static str, error: &Error) {
        let said = error.as_db_error().map(|answer| answer.message());
        let reason = said.map_or_else(|| error.to_string(), ToOwned::to_owned);
        if self.refused.get(part) != Some(&reason) {
            warn!(
                instance = self.instance,
                part, reason, "not readable: what was known last is shown"
            );
            self.refused.insert(part, reason);
        }
    }
}
