//! What our account may do on the whole server, as the server says it.

use std::collections::BTreeSet;

use mysql_async::{Conn, Error, prelude::Queryable};

/// Privileges on everything (`*.*`), upper case; "ALL PRIVILEGES" is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Privileges(BTreeSet<String>);

impl Privileges {
    /// Of the session's account with its active roles.
    ///
    /// # Errors
    /// When the session is lost.
    pub async fn read(conn: &mut Conn) -> Result<Self, Error> {
        let lines: Vec<String> = conn.query("SHOW GRANTS").await?;
        Ok(Self::of(&lines))
    }

    /// Whether it has one of these.
    #[must_use]
    pub fn any(&self, wanted: &[&str]) -> bool {
        self.0.contains("ALL PRIVILEGES") || wanted.iter().any(|word| self.0.contains(*word))
    }

    /// A MySQL lists each instead of saying so; what it lists is all of them when these are in it.
    #[must_use]
    pub fn all(&self) -> bool {
        let listed = ["SUPER", "CREATE USER", "SYSTEM_USER", "SET_ANY_DEFINER"];
        self.0.contains("ALL PRIVILEGES") || listed.iter().all(|word| self.0.contains(*word))
    }

    fn of(lines: &[String]) -> Self {
        let global = lines.iter().filter_map(|line| {
            let (privileges, _) = line.strip_prefix("GRANT ")?.split_once(" ON *.* TO ")?;
            Some(privileges)
        });
        let words = global.flat_map(|list| list.split(','));
        Self(words.map(|word| word.trim().to_ascii_uppercase()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_holds_everywhere_counts() {
        let lines = [
            "GRANT SELECT, PROCESS ON *.* TO `watcher`@`%` IDENTIFIED BY PASSWORD '*0'",
            "GRANT ALL PRIVILEGES ON `shop`.* TO `watcher`@`%`",
        ];
        let some = Privileges::of(&lines.map(str::to_owned));
        assert!(some.any(&["PROCESS"]) && some.any(&["SUPER", "SELECT"]));
        assert!(!some.any(&["RELOAD"]) && !some.all());
        let root = Privileges::of(&["GRANT ALL PRIVILEGES ON *.* TO `root`@`%`".to_owned()]);
        assert!(root.any(&["RELOAD"]) && root.all());
        let mysql = [
            "GRANT SELECT, RELOAD, SUPER, CREATE USER ON *.* TO `root`@`%` WITH GRANT OPTION",
            "GRANT SET_ANY_DEFINER,SYSTEM_USER ON *.* TO `root`@`%` WITH GRANT OPTION",
        ];
        let mysql = mysql.map(str::to_owned);
        assert!(Privileges::of(&mysql).all() && !Privileges::of(&mysql[..1]).all());
    }
}
