//! `ctl retention`: which backups stay and which go, and why.

use clap::Subcommand;
use clap_complete::engine::ArgValueCompleter;

use crate::{
    client::Doing as _, complete, exit::Exit, failure::Failure, series::Series, session::Session,
};

#[derive(Debug, Subcommand)]
pub enum Retention {
    /// Show every backup with what retention would do now, and each reason; nothing is done.
    Preview {
        /// HOST/INSTANCE/DATABASE or HOST/VOLUME; all when not given.
        #[arg(add = ArgValueCompleter::new(complete::series))]
        database: Option<Series>,
    },
}

impl Retention {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let Self::Preview { database } = self;
        let mut client = session.connect().await?;
        let preview = client.retention(database.map(|series| series.0)).await;
        session.show(&preview.doing(|| "preview the retention".to_owned())?)?;
        Ok(Exit::Ok)
    }
}
