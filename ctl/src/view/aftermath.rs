//! What a job left when it ended, and what an undo would do with it.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Time, job::moment};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Aftermath {
    pub roles_left: Vec<String>,
    pub roles_left_uncertain: bool,
    pub kept: Vec<KeptDatabase>,
    pub undo: String,
}

/// A database that stands beside the target for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptDatabase {
    /// `host/instance/database`.
    pub database: String,
    pub until: Option<Time>,
    pub reason: KeptReason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeptReason {
    Replaced,
    Undone,
}

impl KeptReason {
    fn words(self) -> &'static str {
        match self {
            Self::Replaced => "what stood there before",
            Self::Undone => "what was undone",
        }
    }
}

/// Lines with a label each; empty when nothing is left.
pub(crate) fn aftermath_text(after: &Aftermath) -> String {
    let mut out = String::new();
    for kept in &after.kept {
        let until = kept.until.map(moment).unwrap_or_default();
        let words = kept.reason.words();
        let _ = writeln!(
            out,
            "  kept       {}, {words}, until {until}",
            kept.database
        );
    }
    if !after.undo.is_empty() {
        let _ = writeln!(out, "  undoing    {}", after.undo);
    }
    if !after.roles_left.is_empty() {
        let perhaps = if after.roles_left_uncertain {
            "perhaps "
        } else {
            ""
        };
        let _ = writeln!(
            out,
            "  roles      {perhaps}created and left: {}; drop them with DROP ROLE if nobody needs them",
            after.roles_left.join(", ")
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Aftermath, aftermath_text};
    use crate::view::samples;

    #[test]
    fn what_is_kept_is_told_with_its_end_and_its_way_back() {
        assert_eq!(
            aftermath_text(&samples::aftermath()),
            "  kept       web-2/shop-db/shop_test__before_42, what stood there before, \
             until 2026-11-21 11:50:14 UTC\n  \
             undoing    gives shop_test__before_42 the name shop_test again\n"
        );
        assert_eq!(aftermath_text(&Aftermath::default()), "");
    }

    #[test]
    fn roles_that_are_left_are_told_as_surely_as_they_are_known() {
        let mut after = Aftermath {
            roles_left: vec!["shop".to_owned(), "app".to_owned()],
            ..Aftermath::default()
        };
        let line = "created and left: shop, app; drop them with DROP ROLE if nobody needs them\n";
        assert_eq!(aftermath_text(&after), format!("  roles      {line}"));
        after.roles_left_uncertain = true;
        assert_eq!(
            aftermath_text(&after),
            format!("  roles      perhaps {line}")
        );
    }
}
