//! `ctl apply`, `ctl diff`, `ctl export`: the fleet's policies as a file.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::Args;

use crate::{
    client::{Client, Doing as _},
    confirm::confirm,
    exit::Exit,
    failure::Failure,
    session::Session,
    view::policy::{PoliciesApplied, PolicyDiff},
};

#[derive(Debug, Args)]
pub struct Apply {
    /// The file with the policies; - for stdin.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Do not ask when something is protected less; with a value, only when it is the name of that policy.
    #[arg(short, long, value_name = "NAME", num_args = 0..=1, require_equals = true)]
    yes: Option<Option<String>>,
}

#[derive(Debug, Args)]
pub struct Diff {
    /// The file with the policies; - for stdin.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Args)]
pub struct Export {}

impl Apply {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let text = read(&self.file)?;
        let mut client = session.connect().await?;
        let diff = compare(&mut client, &text).await?;
        if let Some(failure) = mistakes(&self.file, &diff) {
            return Err(failure);
        }
        if diff.changes.is_empty() {
            session.show(&PoliciesApplied {
                changes: Vec::new(),
                version: diff.version,
            })?;
            return Ok(Exit::Ok);
        }
        if let Some(first) = diff.weakening().first() {
            let all = diff.weakening().join(", ");
            confirm(
                &session.console,
                "applying policies that protect less",
                &format!("less is protected than before by: {all} (see ctl diff)."),
                first,
                self.yes.into(),
            )?;
        }
        let applied = client.apply_policies(text, diff.version).await;
        let applied = applied.doing(|| format!("apply {}", self.file.display()))?;
        session.show(&applied)?;
        Ok(Exit::Ok)
    }
}

impl Diff {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let text = read(&self.file)?;
        let mut client = session.connect().await?;
        let diff = compare(&mut client, &text).await?;
        if let Some(failure) = mistakes(&self.file, &diff) {
            return Err(failure);
        }
        session.show(&diff)?;
        Ok(Exit::Ok)
    }
}

impl Export {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut client = session.connect().await?;
        let exported = client.export_policies().await;
        session.show(&exported.doing(|| "export the policies".to_owned())?)?;
        Ok(Exit::Ok)
    }
}

async fn compare(client: &mut Client, text: &str) -> Result<PolicyDiff, Failure> {
    let diff = client.compare_policies(text.to_owned()).await;
    diff.doing(|| "compare the policies".to_owned())
}

/// All of them at once, each as a line that editors understand.
fn mistakes(file: &Path, diff: &PolicyDiff) -> Option<Failure> {
    let file = file.display().to_string();
    let lines: Vec<_> = diff
        .mistakes
        .iter()
        .map(|mistake| mistake.line(&file))
        .collect();
    (!lines.is_empty()).then(|| Failure::Usage {
        what: format!(
            "{file} cannot be applied; nothing was changed\n{}",
            lines.join("\n")
        ),
        advice: "`ctl export` shows a whole file, and docs/operations.md what the keys mean"
            .to_owned(),
    })
}

fn read(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    read.map_err(|error| Failure::Usage {
        what: format!("cannot read {}: {error}", file.display()),
        advice: "name a file that is there, or - for stdin".to_owned(),
    })
}
