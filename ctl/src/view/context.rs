//! Contexts: which controllers this operator knows.

use serde::Serialize;

use super::Time;
use crate::output::{
    Page, View,
    grid::{Grid, or_dash, plain, toned},
    paint::Tone,
    units,
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContextRow {
    pub name: String,
    pub current: bool,
    pub controller: String,
    pub operator: String,
    pub role: String,
    pub certificate_expires_at: Option<Time>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContextList {
    pub contexts: Vec<ContextRow>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoggedIn {
    pub context: String,
    pub controller: String,
    pub operator: String,
    pub role: String,
    pub certificate_expires_at: Option<Time>,
    pub file: String,
}

/// What was done to the contexts file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContextChanged {
    pub context: String,
    pub change: &'static str,
}

impl View for ContextList {
    fn text(&self, page: &Page) -> String {
        let head = [
            "",
            "CONTEXT",
            "CONTROLLER",
            "OPERATOR",
            "ROLE",
            "CERTIFICATE",
        ];
        let mut grid = Grid::new(page, &head, "no contexts; `ctl login` makes one");
        for context in &self.contexts {
            grid.row(vec![
                plain(if context.current { "*" } else { "" }),
                toned(Tone::Strong, &context.name),
                plain(&context.controller),
                or_dash(&context.operator),
                or_dash(&context.role),
                match context.certificate_expires_at {
                    Some(at) if at <= page.now => toned(
                        Tone::Bad,
                        format!("expired {}", units::ago(page.now, Some(at))),
                    ),
                    Some(at) => plain(format!("expires {}", units::ago(page.now, Some(at)))),
                    None => toned(Tone::Bad, "not readable"),
                },
            ]);
        }
        grid.render()
    }
}

impl View for LoggedIn {
    fn text(&self, page: &Page) -> String {
        format!(
            "logged in to {} as {} ({}), context {}\n  \
             certificate expires {}; ctl renews it by itself\n  \
             kept in {}\n",
            self.controller,
            page.paint.tone(Tone::Strong, &self.operator),
            self.role,
            self.context,
            units::ago(page.now, self.certificate_expires_at),
            self.file
        )
    }
}

impl View for ContextChanged {
    fn text(&self, _: &Page) -> String {
        format!("context {} is {}\n", self.context, self.change)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        output::{View as _, testing::page},
        view::samples,
    };

    #[test]
    fn the_current_one_is_marked() {
        assert_eq!(
            samples::context_list().text(&page()),
            "   CONTEXT  CONTROLLER     OPERATOR  ROLE   CERTIFICATE\n\
             *  prod     10.0.0.1:7443  alice     admin  expires in 29 d\n   \
             lab      lab:7443       -         -      not readable\n"
        );
    }
}
