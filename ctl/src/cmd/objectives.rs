//! `ctl objectives`: targets and what was measured, side by side.

use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use crate::{
    client::Doing as _, complete, exit::Exit, failure::Failure, series::Series, session::Session,
    view::objective::ObjectiveList,
};

#[derive(Debug, Args)]
pub struct Objectives {
    /// HOST/INSTANCE/DATABASE or HOST/VOLUME; all when not given.
    #[arg(add = ArgValueCompleter::new(complete::series))]
    database: Option<Series>,
    /// Exit with 8 when a target is broken, with 10 when one was never measured or not of late.
    #[arg(long)]
    strict: bool,
}

impl Objectives {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut client = session.connect().await?;
        let objectives = client
            .objectives(self.database.map(|series| series.0))
            .await;
        let objectives = objectives.doing(|| "list the objectives".to_owned())?;
        let worst = objectives
            .iter()
            .fold(Exit::Ok, |worst, objective| worst.worse(objective.exit()));
        session.show(&ObjectiveList { objectives })?;
        Ok(if self.strict { worst } else { Exit::Ok })
    }
}
