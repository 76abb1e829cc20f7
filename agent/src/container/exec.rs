//! Running a command inside a container, its input and output streamed.
//!
//! Tools that must match the server's version run this way. Output waits for its reader, so that
//! nothing is buffered whole; of stderr the end is kept. A command that is dropped before its end
//! is killed: an exec outlives its connection otherwise.

use std::{pin::Pin, sync::Arc};

use bollard::{
    container::LogOutput,
    exec::{CreateExecOptions, StartExecOptions, StartExecResults},
};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    task::JoinHandle,
};
use tracing::debug;

use super::{ContainerEngine, EngineError, client::Connected};

/// How much of a command's stderr is kept, from its end.
const STDERR_KEPT: usize = 16 * 1024;
/// Chunks of output that wait for their reader (each at most the engine's frame, 32 KiB).
const STDOUT_WAITING: usize = 8;

/// What to run, and in which container.
#[derive(Debug, Clone, Default)]
pub struct Command {
    /// Id or name.
    pub container: String,
    pub command: Vec<String>,
    pub env: Vec<(String, String)>,
    /// User or `user:group` inside the container; empty for the container's own.
    pub user: String,
}

/// A command that runs.
pub struct Running {
    /// Shut it down (or drop it) to give the command the end of its input.
    pub stdin: Option<Stdin>,
    /// Closed at the end of output, also when the connection broke: [`Running::end`] tells.
    pub stdout: mpsc::Receiver<Bytes>,
    pump: JoinHandle<Result<Tail, bollard::errors::Error>>,
    guard: KillGuard,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("exec", &self.guard.id)
            .finish_non_exhaustive()
    }
}

/// The command's standard input.
pub struct Stdin(Pin<Box<dyn AsyncWrite + Send>>);

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub code: i64,
    /// The last 16 KiB.
    pub stderr: String,
}

/// Kills the process when the one who started it is no longer interested.
struct KillGuard {
    engine: Arc<Connected>,
    id: String,
    ended: bool,
}

/// The end of a stream that may be long.
#[derive(Debug, Default)]
struct Tail(Vec<u8>);

impl ContainerEngine {
    /// Starts a command.
    ///
    /// # Errors
    /// When the container does not run or the engine does not answer. A program that is not in
    /// the container's image ends with code 126 or 127, it is not an error here.
    pub async fn exec(&self, command: Command) -> Result<Running, EngineError> {
        let engine = self.connected().await?;
        let on = command.container.clone();
        let options = CreateExecOptions {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            env: Some(
                command
                    .env
                    .into_iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect(),
            ),
            cmd: Some(command.command),
            user: Some(command.user).filter(|user| !user.is_empty()),
            ..CreateExecOptions::<String>::default()
        };
        let id = engine
            .docker
            .create_exec(&on, options)
            .await
            .map_err(|e| engine.explain("preparing a command in container", &on, e))?
            .id;
        let start = StartExecOptions {
            output_capacity: Some(64 * 1024),
            ..StartExecOptions::default()
        };
        let started = engine
            .docker
            .start_exec(&id, Some(start))
            .await
            .map_err(|e| engine.explain("starting a command in container", &on, e))?;
        let guard = KillGuard {
            engine,
            id,
            ended: false,
        };
        let (output, input): (OutputStream, _) = match started {
            StartExecResults::Attached { output, input } => (output, Some(Stdin(input))),
            StartExecResults::Detached => (Box::pin(futures::stream::empty()), None),
        };
        let (send, stdout) = mpsc::channel(STDOUT_WAITING);
        Ok(Running {
            stdin: input,
            stdout,
            pump: tokio::spawn(pump(output, send)),
            guard,
        })
    }

    /// Runs a short command to its end: all input first, output at most `limit` bytes.
    ///
    /// # Errors
    /// As [`ContainerEngine::exec`], and when the connection breaks.
    pub async fn run(
        &self,
        command: Command,
        input: &[u8],
        limit: usize,
    ) -> Result<(Vec<u8>, Ended), EngineError> {
        let mut running = self.exec(command).await?;
        let stdin = running.stdin.take();
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A command that does not read its input to the end says so by its exit code.
                let _ = stdin.write_all(input).await;
                let _ = stdin.close().await;
            }
        };
        let collect = async {
            let mut collected = Vec::new();
            while let Some(chunk) = running.stdout.recv().await {
                let room = limit.saturating_sub(collected.len());
                collected.extend_from_slice(&chunk[..chunk.len().min(room)]);
            }
            collected
        };
        let ((), collected) = tokio::join!(feed, collect);
        Ok((collected, running.end().await?))
    }
}

impl Running {
    /// Waits for the end; output that nobody has read is thrown away.
    ///
    /// # Errors
    /// When the connection to the engine broke, so that nothing is known of the end.
    pub async fn end(mut self) -> Result<Ended, EngineError> {
        drop(self.stdin.take());
        while self.stdout.recv().await.is_some() {}
        let engine = Arc::clone(&self.guard.engine);
        let explain = |e| engine.explain("following a command in a container", &self.guard.id, e);
        let tail = match (&mut self.pump).await {
            Ok(tail) => tail.map_err(explain)?,
            Err(ended) => {
                let broken = std::io::Error::other(ended);
                return Err(explain(bollard::errors::Error::IOError { err: broken }));
            }
        };
        let state = engine
            .docker
            .inspect_exec(&self.guard.id)
            .await
            .map_err(explain)?;
        self.guard.ended = state.running != Some(true);
        Ok(Ended {
            code: state.exit_code.unwrap_or(-1),
            stderr: String::from_utf8_lossy(&tail.0).into_owned(),
        })
    }
}

impl Stdin {
    /// # Errors
    /// `BrokenPipe` when the command has ended or closed its input.
    pub async fn write_all(&mut self, data: &[u8]) -> std::io::Result<()> {
        self.0.write_all(data).await
    }

    /// Flushes, and gives the command the end of its input.
    ///
    /// # Errors
    /// As [`Stdin::write_all`].
    pub async fn close(mut self) -> std::io::Result<()> {
        self.0.flush().await?;
        self.0.shutdown().await
    }
}

impl Drop for KillGuard {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (engine, id) = (Arc::clone(&self.engine), std::mem::take(&mut self.id));
        runtime.spawn(async move {
            let Ok(state) = engine.docker.inspect_exec(&id).await else {
                return;
            };
            if state.running != Some(true) {
                return;
            }
            let pid = state
                .pid
                .and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
            if let Some(pid) = pid {
                let killed = kill_process(pid, Signal::TERM);
                debug!(?killed, exec = %id, "ended a command in a container that nobody waits for");
            }
        });
    }
}

impl Tail {
    fn push(&mut self, more: &[u8]) {
        self.0.extend_from_slice(more);
        if self.0.len() > 2 * STDERR_KEPT {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let surplus = self.0.len().saturating_sub(STDERR_KEPT);
        self.0.drain(..surplus);
    }
}

type OutputStream = Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;

async fn pump(
    mut output: OutputStream,
    stdout: mpsc::Sender<Bytes>,
) -> Result<Tail, bollard::errors::Error> {
    let mut tail = Tail::default();
    while let Some(chunk) = output.next().await {
        match chunk? {
            LogOutput::StdErr { message } => tail.push(&message),
            LogOutput::StdOut { message } | LogOutput::Console { message } => {
                // Nobody reads any more: go on, so that the command is not blocked for ever.
                let _ = stdout.send(message).await;
            }
            LogOutput::StdIn { .. } => {}
        }
    }
    tail.cut();
    Ok(tail)
}
