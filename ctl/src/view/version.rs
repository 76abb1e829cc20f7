//! Versions at both ends.

use serde::Serialize;

use crate::output::{Page, View};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Versions {
    pub ctl: String,
    /// `None` when it was not asked or did not answer.
    pub controller: Option<String>,
    /// Why it is not known.
    pub controller_error: String,
}

impl View for Versions {
    fn text(&self, _: &Page) -> String {
        let mut out = format!("ctl         {}\n", self.ctl);
        match &self.controller {
            Some(version) => out.push_str(&format!("controller  {version}\n")),
            None if self.controller_error.is_empty() => {}
            None => out.push_str(&format!(
                "controller  not known: {}\n",
                self.controller_error
            )),
        }
        out
    }
}
