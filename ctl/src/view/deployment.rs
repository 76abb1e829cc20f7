//! A compose project before and after it is deployed.

use holdfast_proto::check::CheckVerdict;
use serde::Serialize;

use super::{Time, backup::BackupMade, check::CheckRun};
use crate::{
    exit::Exit,
    output::{
        Page, View,
        grid::{Grid, plain, toned},
        paint::Tone,
        units,
    },
};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Deployment {
    pub project: String,
    /// Empty: all hosts.
    pub host: String,
    pub at: Option<Time>,
    pub volumes: Vec<Volume>,
    pub counts: Vec<Count>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Volume {
    pub host: String,
    pub service: String,
    pub path: String,
    pub name: String,
    pub created_at: Option<Time>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Count {
    pub database: String,
    pub check: String,
    #[serde(flatten)]
    pub run: CheckRun,
}

/// Backed up, and noted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BeforeDeploy {
    pub backups: Vec<BackupMade>,
    /// `null`: a backup is missing, so nothing was noted.
    pub deployment: Option<Deployment>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeploymentDiff {
    pub before: Deployment,
    pub now: Deployment,
    pub lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    pub subject: String,
    pub verdict: Verdict,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Same,
    New,
    Wrong,
    CouldNotCheck,
}

impl Deployment {
    /// Who deploys while a count is wrong already would not see what the deployment does to it.
    fn exit(&self) -> Exit {
        let exits = self.counts.iter().map(|count| count.run.exit());
        exits.fold(Exit::Ok, Exit::worse)
    }
}

impl BeforeDeploy {
    #[must_use]
    pub fn exit(&self) -> Exit {
        let backups = self.backups.iter().map(|made| made.exit);
        let worst = backups.fold(Exit::Ok, Exit::worse);
        let noted = self.deployment.as_ref().map_or(Exit::Ok, Deployment::exit);
        worst.worse(noted)
    }
}

impl DeploymentDiff {
    #[must_use]
    pub fn exit(&self) -> Exit {
        let exits = self.lines.iter().map(|line| match line.verdict {
            Verdict::Same | Verdict::New => Exit::Ok,
            Verdict::Wrong => Exit::NotProven,
            Verdict::CouldNotCheck => Exit::CouldNotCheck,
        });
        exits.fold(Exit::Ok, Exit::worse)
    }
}

impl View for BeforeDeploy {
    fn text(&self, page: &Page) -> String {
        let made = super::backup::BackupsMade {
            backups: self.backups.clone(),
        };
        let mut out = made.text(page);
        let Some(deployment) = &self.deployment else {
            out.push_str(
                &page
                    .paint
                    .tone(Tone::Bad, "✗ do not deploy: a backup is missing"),
            );
            out.push('\n');
            return out;
        };
        out.push_str(&deployment.text(page));
        let project = &deployment.project;
        let verdict = if self.exit() == Exit::Ok {
            page.paint
                .tone(Tone::Good, &format!("✓ {project} can be deployed"))
        } else {
            page.paint
                .tone(Tone::Bad, "✗ do not deploy: look at the user counts first")
        };
        out.push_str(&format!(
            "{verdict}\nafterwards:\n  ctl backup before-deploy --project {project} --after\n"
        ));
        out
    }
}

impl View for Deployment {
    fn text(&self, page: &Page) -> String {
        let head = ["HOST", "SERVICE", "PATH", "VOLUME", "MADE"];
        let mut grid = Grid::new(page, &head, "no volumes");
        for volume in &self.volumes {
            let made = volume
                .created_at
                .map(|at| at.format("%F %H:%M").to_string());
            grid.row(vec![
                plain(&volume.host),
                plain(&volume.service),
                plain(&volume.path),
                toned(Tone::Strong, &volume.name),
                plain(made.unwrap_or_default()),
            ]);
        }
        let mut out = grid.render();
        let mut grid = Grid::new(page, &["CHECK", "COUNT", ""], "no user counts").right(&[1]);
        for count in &self.counts {
            let tone = match count.run.verdict {
                CheckVerdict::Ok => Tone::Good,
                CheckVerdict::Suspicious | CheckVerdict::CouldNotRun => Tone::Bad,
            };
            let number = count.run.outcome.count.map(units::signed);
            let reasons = match count.is_bad() {
                true => count.run.reasons.join("; "),
                false => "ok".to_owned(),
            };
            grid.row(vec![
                plain(format!("{} {}", count.database, count.check)),
                plain(number.unwrap_or_default()),
                toned(tone, reasons),
            ]);
        }
        out.push_str(&grid.render());
        out
    }
}

impl View for DeploymentDiff {
    fn text(&self, page: &Page) -> String {
        let mut out = String::new();
        for line in &self.lines {
            let (tone, mark) = match line.verdict {
                Verdict::Same => (Tone::Good, "✓"),
                Verdict::New => (Tone::Plain, "+"),
                Verdict::CouldNotCheck => (Tone::Warn, "?"),
                Verdict::Wrong => (Tone::Bad, "✗"),
            };
            let text = format!("{mark} {}: {}", line.subject, line.message);
            out.push_str(&format!("{}\n", page.paint.tone(tone, &text)));
        }
        let since = self.before.at.map(super::job::moment).unwrap_or_default();
        let project = &self.now.project;
        let verdict = match self.exit() {
            Exit::Ok => page.paint.tone(
                Tone::Good,
                &format!("✓ {project} is as it was before the deployment ({since})"),
            ),
            Exit::CouldNotCheck => page.paint.tone(
                Tone::Warn,
                &format!("? {project}: not everything could be checked; try again when it is up"),
            ),
            _ => page.paint.tone(
                Tone::Bad,
                &format!("✗ {project} is not as it was before the deployment ({since})"),
            ),
        };
        out.push_str(&format!("{verdict}\n"));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{output::testing::page, view::samples::backup as samples};

    #[test]
    fn wrong_outranks_unknown_and_new_is_no_harm() {
        let exit = |verdicts: &[Verdict]| {
            let mut diff = samples::deployment_diff();
            let line = diff.lines[0].clone();
            let lines = verdicts.iter().map(|verdict| Line {
                verdict: *verdict,
                ..line.clone()
            });
            diff.lines = lines.collect();
            diff.exit()
        };
        assert_eq!(exit(&[Verdict::Same, Verdict::New]), Exit::Ok);
        assert_eq!(
            exit(&[Verdict::Same, Verdict::CouldNotCheck]),
            Exit::CouldNotCheck
        );
        assert_eq!(
            exit(&[Verdict::CouldNotCheck, Verdict::Wrong]),
            Exit::NotProven
        );
    }

    #[test]
    fn before_a_deployment_volumes_and_users_are_told_and_what_comes_after() {
        let mut before = samples::before_deploy();
        let text = before.text(&page());
        for said in [
            "shop_db_data",
            "web-1/shop-db/shop users",
            "can be deployed",
            "--after",
        ] {
            assert!(text.contains(said), "{said} in {text}");
        }
        assert_eq!(before.exit(), Exit::Ok);
        let counts = &mut before.deployment.as_mut().unwrap().counts;
        counts[0].run.verdict = CheckVerdict::Suspicious;
        assert_eq!(before.exit(), Exit::NotProven);
        assert!(before.text(&page()).contains("do not deploy"));
        before.deployment = None;
        before.backups[0].exit = Exit::JobFailed;
        assert_eq!(before.exit(), Exit::JobFailed);
    }

    #[test]
    fn after_a_deployment_each_thing_has_its_line() {
        let text = samples::deployment_diff().text(&page());
        assert!(
            text.contains("✗ web-1 db /data: was a, is b: another volume\n"),
            "{text}"
        );
        assert!(text.contains("is not as it was before"), "{text}");
    }
}
