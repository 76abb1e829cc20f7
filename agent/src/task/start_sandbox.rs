//! Starting a job's throwaway server, and waiting until it answers.

use std::time::Duration;

use holdfast_proto::task::{
    FailureKind, ProbeInstance, SandboxLimits, StartSandbox, StartedSandbox, TaskFailure,
};
use tokio::time::Instant;

use super::{Context, probe_instance};
use crate::{
    container::{
        client::Connected,
        recipe::Recipe,
        sandbox::{self, Plan},
    },
    engine::postgres::{failure::failure, sessions},
    observe::{host, listing::last_lines},
};

/// An image that makes its data directory at the first start takes some seconds.
const COMES_UP_WITHIN: Duration = Duration::from_secs(180);
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Who starts the server says that it failed, and where to look: the reason may stand some lines above.
const LAST_LINES: u16 = 10;
/// The least that a server works with.
const LEAST_MEMORY: u64 = 512 << 20;
const MOST_MEMORY: u64 = 8 << 30;

/// Joins the container that the job has started already.
///
/// # Errors
/// `Invalid` when the image is not on this host, or its server does not come up; what the engine says.
pub async fn run(spec: StartSandbox, context: &Context) -> Result<StartedSandbox, TaskFailure> {
    tokio::select! {
        started = start(&spec, context) => started,
        () = context.cancel.cancelled() => Err(sessions::cancelled("starting the throwaway server")),
    }
}

async fn start(spec: &StartSandbox, context: &Context) -> Result<StartedSandbox, TaskFailure> {
    let recipe = Recipe::from(spec.engine);
    let engine = context.containers.connected().await?;
    let image = sandbox::find_image(&engine, &spec.image, &spec.image_digest).await?;
    let image = image.ok_or_else(|| absent(spec))?;
    let limits = limits(spec.limits, spec.servers, host::cpus(), host::memory());
    let image_id = image.id.clone().unwrap_or_default();
    if spec.look_only {
        return Ok(StartedSandbox {
            instance: String::new(),
            image_id,
            limits,
        });
    }
    let own = image.config.as_ref().and_then(|config| config.cmd.clone());
    let plan = Plan {
        job: spec.job,
        part: spec.part,
        image,
        environment: recipe.environment(),
        command: recipe.command(own.unwrap_or_default(), &spec.preload_libraries, limits),
        limits,
    };
    let id = sandbox::start(&engine, &plan).await?;
    let instance = sandbox::name(spec.job, spec.part);
    until_up(&instance, &id, &engine, context).await?;
    Ok(StartedSandbox {
        instance,
        image_id,
        limits,
    })
}

/// Until the observer has found it and reached it over its socket: from then on every verb finds it by name.
async fn until_up(
    instance: &str,
    id: &str,
    engine: &Connected,
    context: &Context,
) -> Result<(), TaskFailure> {
    let begun = Instant::now();
    loop {
        let probe = ProbeInstance {
            instance: instance.to_owned(),
        };
        let reason = match probe_instance::run(probe, context).await {
            Ok(probed) if probed.up => return Ok(()),
            Ok(probed) => probed.down_reason,
            Err(failure) if failure.kind == FailureKind::Cancelled => return Err(failure),
            Err(failure) => failure.message,
        };
        let ended = sandbox::has_ended(engine, id).await?;
        if ended || begun.elapsed() > COMES_UP_WITHIN {
            return Err(not_up(id, &reason, context).await);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn not_up(id: &str, reason: &str, context: &Context) -> TaskFailure {
    let lines = last_lines(&context.containers, id, LAST_LINES).await;
    let said = lines.unwrap_or_default().join(" | ");
    failure(
        FailureKind::Invalid,
        format!("the throwaway server does not come up: {reason}; it said last: {said}"),
        "start a container of the same image by hand without network and look at its log",
    )
}

/// What was not asked for: all processors, behind everybody else, since a drill measures a recovery; half of the
/// memory, which nobody gives back, shared by all servers of the job.
fn limits(asked: SandboxLimits, servers: u32, cpus: u32, memory: u64) -> SandboxLimits {
    let of = |asked: u64, own: u64| if asked == 0 { own } else { asked };
    SandboxLimits {
        cpu_millis: of(asked.cpu_millis, (u64::from(cpus) * 1_000).max(1_000)),
        memory_bytes: of(
            asked.memory_bytes,
            (memory / 2 / u64::from(servers.max(1))).clamp(LEAST_MEMORY, MOST_MEMORY),
        ),
    }
}

fn absent(spec: &StartSandbox) -> TaskFailure {
    let StartSandbox {
        image,
        image_digest,
        ..
    } = spec;
    let (what, pull) = match (image.as_str(), image_digest.as_str()) {
        (image, "") => (image.to_owned(), image.to_owned()),
        // A digest names it for ever; the id of an image that was built there names nothing to pull.
        ("", digest) => (digest.to_owned(), digest.to_owned()),
        (image, digest) => (format!("{image} ({digest})"), image.to_owned()),
    };
    failure(
        FailureKind::Invalid,
        format!("image {what} is not on this host"),
        format!(
            "bring it there: docker pull {pull}, or docker save on the database's host and docker load here; \
             or name another one with --image"
        ),
    )
}

#[cfg(test)]
mod tests {
    use holdfast_proto::fleet::Engine;

    use super::*;

    #[test]
    fn all_processors_and_half_of_the_memory_unless_asked_for() {
        let own = limits(SandboxLimits::default(), 0, 8, 32 << 30);
        assert_eq!((own.cpu_millis, own.memory_bytes), (8_000, 8 << 30));
        let one_of_four = limits(SandboxLimits::default(), 4, 8, 32 << 30);
        assert_eq!(one_of_four.memory_bytes, 4 << 30);
        let small = limits(SandboxLimits::default(), 0, 1, 512 << 20);
        assert_eq!((small.cpu_millis, small.memory_bytes), (1_000, 512 << 20));
        let asked = SandboxLimits {
            cpu_millis: 250,
            memory_bytes: 1 << 30,
        };
        assert_eq!(limits(asked, 2, 8, 32 << 30), asked);
    }

    #[test]
    fn what_is_missing_is_told_with_what_to_do() {
        let spec = StartSandbox {
            job: 1,
            image: "postgres:17".to_owned(),
            image_digest: "sha256:ab".to_owned(),
            engine: Engine::Postgres,
            preload_libraries: String::new(),
            limits: SandboxLimits::default(),
            look_only: true,
            part: 0,
            servers: 0,
        };
        let failure = absent(&spec);
        assert!(failure.message.contains("postgres:17 (sha256:ab)"));
        assert!(failure.advice.contains("docker pull postgres:17"));
        assert!(!failure.retryable);
    }
}
