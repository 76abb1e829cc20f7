//! What could stand in the way of reading a volume, asked before anything is stopped.

use async_trait::async_trait;
use holdfast_proto::task::{TaskFailure, VolumeFacts};
use serde_json::Value;

use super::BackUpVolume;
use crate::job::{
    copy_database::preflight::{self, Examined, PreflightLine},
    definition::{Step, StepDone, StepFailure},
    event::Why,
    retry::Patience,
    step::StepContext,
    volume::{describe, names, reached},
};

#[derive(Debug)]
pub struct Preflight<'a>(pub &'a BackUpVolume);

#[async_trait]
impl Step for Preflight<'_> {
    fn name(&self) -> &'static str {
        preflight::NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let facts = describe(ctx, &self.0.source).await;
        if ctx.cancel.is_cancelled()
            && let Err(failure) = facts
        {
            return Err(failure.into());
        }
        let lines = examine(self.0, facts.as_ref());
        let unreachable = facts.is_err();
        let examined = Examined {
            lines,
            source: None,
            target: None,
        };
        preflight::conclude(&examined, unreachable)
    }

    /// It only reads.
    async fn undo(&self, _: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        Ok(StepDone::default())
    }

    fn patience(&self) -> Patience {
        Patience::NONE
    }

    fn says(&self, output: &Value) -> String {
        preflight::says(output)
    }
}

/// Every question that the facts allow to ask.
#[must_use]
pub fn examine(
    request: &BackUpVolume,
    facts: Result<&VolumeFacts, &TaskFailure>,
) -> Vec<PreflightLine> {
    let mut lines = Vec::new();
    let source = &request.source;
    let Some(facts) = reached(source, facts, &mut lines) else {
        return lines;
    };
    if !facts.exists {
        lines.push(PreflightLine::failed(
            "volume is there",
            format!("{} has no volume {}", source.host, source.volume),
            "`ctl volume list` shows what there is",
        ));
        return lines;
    }
    lines.push(quiet(request, facts));
    lines
}

fn quiet(request: &BackUpVolume, facts: &VolumeFacts) -> PreflightLine {
    const QUESTION: &str = "nobody writes to it while it is read";
    let source = &request.source;
    let running = || facts.users.iter().filter(|user| user.running);
    let in_it = facts.databases.join(", ");
    if running().next().is_none() {
        return PreflightLine::passed(QUESTION, "no container runs with it");
    }
    let all = names(running());
    if request.only_files && !facts.databases.is_empty() {
        return PreflightLine::failed(
            QUESTION,
            format!(
                "{all} runs with it, and it holds a database ({in_it}): no server is stopped for a pattern"
            ),
            &format!(
                "name the volume in full in its policy (volume: {}), or let a policy say that it is not protected, and why",
                source.volume
            ),
        );
    }
    if request.stop {
        return PreflightLine::warning(
            QUESTION,
            format!("{all} is stopped meanwhile, and started again"),
            "",
        );
    }
    let stopped = format!("ctl backup create --volume {source} --stop");
    if !facts.databases.is_empty() {
        let live = request.instances.iter();
        let live: Vec<_> = live
            .map(|instance| format!("ctl backup create {instance}/DATABASE"))
            .collect();
        let live = if live.is_empty() {
            "ctl backup create HOST/INSTANCE/DATABASE".to_owned()
        } else {
            live.join(", ")
        };
        return PreflightLine::failed(
            QUESTION,
            format!(
                "{all} runs with it, and it holds a database ({in_it}): its files are no backup while its server runs"
            ),
            &format!(
                "back the database up as it runs: {live}; or all files, with the containers stopped meanwhile: {stopped}"
            ),
        );
    }
    if running().any(|user| user.writable) {
        let writers = names(running().filter(|user| user.writable));
        return PreflightLine::failed(
            QUESTION,
            format!("{writers} runs with it and may write to it"),
            &format!("have the containers stopped meanwhile and started again: {stopped}"),
        );
    }
    PreflightLine::passed(QUESTION, format!("{all} runs with it, and may only read"))
}

#[cfg(test)]
mod tests {
    use holdfast_proto::task::VolumeUser;

    use super::*;
    use crate::job::copy_database::preflight::PreflightVerdict;

    fn request(stop: bool) -> BackUpVolume {
        BackUpVolume {
            source: "web-1/shop_uploads".parse().unwrap(),
            stop,
            instances: vec!["web-1/shop-db".parse().unwrap()],
            only_files: false,
        }
    }

    fn facts(running: bool, writable: bool, databases: &[&str]) -> VolumeFacts {
        VolumeFacts {
            exists: true,
            users: vec![VolumeUser {
                container: "shop-web".to_owned(),
                running,
                writable,
            }],
            databases: databases.iter().map(|name| (*name).to_owned()).collect(),
            ..VolumeFacts::default()
        }
    }

    fn last(stop: bool, facts: &VolumeFacts) -> PreflightLine {
        examine(&request(stop), Ok(facts)).pop().unwrap()
    }

    #[test]
    fn what_is_written_to_is_read_only_when_it_may_be_stopped() {
        use PreflightVerdict::{Failed, Passed, Warning};
        let verdict = |stop, running, writable, databases: &[&str]| {
            last(stop, &facts(running, writable, databases)).verdict
        };
        let postgres = ["PostgreSQL 16"];
        assert_eq!(verdict(false, false, true, &postgres), Passed);
        assert_eq!(verdict(false, true, false, &[]), Passed);
        assert_eq!(verdict(false, true, true, &[]), Failed);
        assert_eq!(verdict(false, true, false, &postgres), Failed);
        assert_eq!(verdict(true, true, true, &postgres), Warning);
    }

    #[test]
    fn a_server_is_stopped_only_for_who_names_its_volume_in_full() {
        let asked = |facts: &VolumeFacts| {
            let pattern = BackUpVolume {
                only_files: true,
                ..request(true)
            };
            examine(&pattern, Ok(facts)).pop().unwrap().verdict
        };
        let postgres = ["PostgreSQL 16"];
        let running = facts(true, true, &postgres);
        assert_eq!(asked(&running), PreflightVerdict::Failed);
        let stopped = facts(false, true, &postgres);
        assert_eq!(asked(&stopped), PreflightVerdict::Passed);
        assert_eq!(asked(&facts(true, true, &[])), PreflightVerdict::Warning);
    }

    #[test]
    fn a_refusal_names_the_commands_that_do_it_right() {
        let live = last(false, &facts(true, true, &[])).advice;
        let stop = "ctl backup create --volume web-1/shop_uploads --stop";
        assert!(live.ends_with(stop), "{live}");
        let database = last(false, &facts(true, true, &["PostgreSQL 16"])).advice;
        let right = "ctl backup create web-1/shop-db/DATABASE";
        assert!(
            database.contains(right) && database.contains(stop),
            "{database}"
        );
    }

    #[test]
    fn what_is_not_there_or_not_ours_to_read_is_told() {
        let gone = last(true, &VolumeFacts::default());
        assert!(gone.detail.contains("has no volume shop_uploads"));
        let nfs = VolumeFacts {
            out_of_reach: "its driver is nfs".to_owned(),
            ..facts(false, false, &[])
        };
        assert_eq!(last(true, &nfs).verdict, PreflightVerdict::Failed);
    }
}
