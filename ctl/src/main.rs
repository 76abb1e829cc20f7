//! `ctl`: parse, run, exit code.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use clap_complete::CompleteEnv;
use holdfast_ctl::{
    args::Cli, cmd::Command, exit::Exit, failure::Failure, session::Session, trace,
};

fn main() -> ExitCode {
    // When the shell asks for names, this answers and ends the process.
    CompleteEnv::with_factory(Cli::command).complete();
    let cli = Cli::parse();
    let session = Session::new(cli.globals);
    let exit = match run(&session, cli.command) {
        Ok(exit) => exit,
        Err(failure) => {
            session
                .console
                .say(&failure.text(session.console.talk_paint()));
            failure.exit()
        }
    };
    exit.into()
}

fn run(session: &Session, command: Command) -> Result<Exit, Failure> {
    // Dropped last: what it still holds is sent.
    let _telemetry = trace::start()?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?
        .block_on(trace::run(session, command))
}
