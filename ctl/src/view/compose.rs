//! What is wrong with a compose file.

use serde::Serialize;

use crate::{
    compose::{Report, Severity},
    output::{Page, View, paint::Tone},
};

/// Nothing but the patch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Patch {
    pub patch: String,
}

fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Advice => Tone::Plain,
        Severity::Unknown | Severity::Warning => Tone::Warn,
        Severity::Error => Tone::Bad,
    }
}

impl View for Report {
    fn text(&self, page: &Page) -> String {
        if self.problems.is_empty() {
            let well = page
                .paint
                .tone(Tone::Good, "nothing in it would lose a database");
            return format!("{}: {well}\n", self.file);
        }
        let mut out = String::new();
        for problem in &self.problems {
            let word = page
                .paint
                .tone(tone(problem.severity), problem.severity.word());
            let subject = match problem.subject.as_str() {
                "" => String::new(),
                subject => format!("{subject}: "),
            };
            out.push_str(&format!(
                "{}:{}: {word} [{}] {subject}{}\n  {}{}\n",
                self.file,
                problem.line,
                problem.code,
                problem.message,
                problem.advice,
                if problem.patched {
                    " (patched below)"
                } else {
                    ""
                },
            ));
        }
        if !self.patch.is_empty() {
            out.push_str(&format!(
                "\n{}\nto apply it: ctl compose check {} --patch | patch -p0\n",
                self.patch, self.file
            ));
        }
        out
    }
}

impl View for Patch {
    fn text(&self, _: &Page) -> String {
        self.patch.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{output::testing::page, view::samples};

    #[test]
    fn every_problem_has_its_line_its_advice_and_the_patch_comes_last() {
        let text = samples::compose::report().text(&page());
        for part in [
            "compose.yml:1: error [no-fixed-name] it has no `name:`",
            "compose.yml:6: error [volume-not-external] volume data: ",
            "(patched below)",
            "+name: shop",
            "ctl compose check compose.yml --patch | patch -p0",
        ] {
            assert!(text.contains(part), "{part:?} in\n{text}");
        }
        let well = Report {
            problems: vec![],
            ..samples::compose::report()
        };
        assert!(
            well.text(&page()).contains("nothing in it would lose"),
            "{well:?}"
        );
    }
}
