//! Runbooks of incidents: their steps, and doing one.

use std::{collections::BTreeMap, sync::Arc};

use holdfast_chassis::telemetry;
use holdfast_proto::wire::{
    self, AcceptInstanceRequest, GetRunbookRequest, GetRunbookResponse, TakeRunbookStepRequest,
    TakeRunbookStepResponse,
};
use tonic::Code;

use super::{
    RpcError, Services,
    caller::{Caller, Change},
    data_store, incident,
};
use crate::{
    catalog::{NewStep, RunbookRun, RunbookRunId},
    detect::{HostFacts, check},
    incident::{About, Incident, IncidentId},
    job::{JobId, JobSpec},
    rpc::convert::time,
    runbook::{
        self, Act, Consent, Offer, RUNBOOKS, Runbook, Stage, Step, Unfit, answer_to, named,
        situation::Situation,
    },
};

pub async fn get(
    services: Arc<Services>,
    _: Caller,
    request: GetRunbookRequest,
) -> Result<GetRunbookResponse, RpcError> {
    let book = open(&services, request.incident, &request.name).await?;
    Ok(GetRunbookResponse {
        runbook: Some(book.told()?),
    })
}

pub async fn take(
    services: Arc<Services>,
    caller: Caller,
    request: TakeRunbookStepRequest,
) -> Result<TakeRunbookStepResponse, RpcError> {
    let change = Change {
        action: "incident.step",
        subject: format!("incident {}", request.incident),
        detail: match request.leave_out.as_str() {
            "" => request.step.clone(),
            reason => format!("{} left out: {reason}", request.step),
        },
    };
    let work = step(&services, &caller, &request);
    let job = caller.change(&services, change, work).await?;
    let book = open(&services, request.incident, &request.name).await?;
    Ok(TakeRunbookStepResponse {
        runbook: Some(book.told()?),
        job: job.unwrap_or(0),
    })
}

/// # Errors
/// Names the step that somebody has begun to come to.
pub(super) async fn nothing_is_left(
    services: &Services,
    incident: IncidentId,
) -> Result<(), RpcError> {
    if services.catalog.runbook_run(incident).await?.is_none() {
        return Ok(());
    }
    let book = open(services, incident, "").await?;
    match runbook::next(&book.steps()?) {
        // What is found is another reason, which the caller knows.
        _ if book.run.is_none() => Ok(()),
        None => Ok(()),
        Some(step) => Err(RpcError::new(
            Code::FailedPrecondition,
            format!(
                "incident {incident} is not over: of its runbook {} step {} is left",
                book.runbook.name(),
                step.name
            ),
            format!(
                "do it, or leave it out: ctl incident run {incident}; to close it all the same: --still-found"
            ),
        )),
    }
}

/// A runbook at an incident, as it stands.
struct Book {
    runbook: &'static dyn Runbook,
    /// None: nobody has begun it.
    run: Option<RunbookRun>,
    /// One of before, which is over.
    over: Option<RunbookRunId>,
    start: serde_json::Value,
    situation: Situation,
}

impl Book {
    fn steps(&self) -> Result<Vec<Step>, RpcError> {
        let steps = runbook::steps(self.runbook, &self.start, &self.situation);
        steps.map_err(|error| {
            let advice = "go on by hand with the commands that ctl incident timeline tells of, and close the incident";
            let name = self.runbook.name();
            RpcError::new(
                Code::FailedPrecondition,
                format!("what {name} remembered of its beginning makes no sense: {error}"),
                advice,
            )
        })
    }

    fn told(&self) -> Result<wire::Runbook, RpcError> {
        let steps = self.steps()?.into_iter().map(|step| {
            let begun = self.situation.begun.get(&step.name);
            let by = begun.map(|begun| begun.by.clone()).unwrap_or_default();
            let job = begun.and_then(|begun| Some(begun.job.as_ref()?.id));
            wire::RunbookStep {
                by,
                job: job.unwrap_or(0),
                ..step.into()
            }
        });
        let run = self.run.as_ref();
        Ok(wire::Runbook {
            name: self.runbook.name().to_owned(),
            says: self.runbook.says().to_owned(),
            begun_at: run.and_then(|run| time(run.begun_at)),
            begun_by: run.map(|run| run.begun_by.clone()).unwrap_or_default(),
            steps: steps.collect(),
        })
    }
}

/// The runbook that somebody goes through; when that is over and something else is found, the one for that; when there is
/// none, the one that fits.
async fn open(services: &Services, incident: u64, name: &str) -> Result<Book, RpcError> {
    let catalog = &services.catalog;
    let incident = incident::known(services, incident).await?;
    let situation = situation(services, incident).await?;
    let Some(run) = catalog.runbook_run(situation.incident.id).await? else {
        return fresh(name, situation);
    };
    let begun = Situation {
        begun: catalog.steps_begun(run.id).await?,
        ..situation.clone()
    };
    let book = Book {
        runbook: known_runbook(&run)?,
        start: run.start.clone(),
        run: Some(run),
        over: None,
        situation: begun,
    };
    let is_over = runbook::next(&book.steps()?).is_none();
    if is_over
        && book
            .situation
            .findings
            .iter()
            .any(|finding| finding.closed_at.is_none())
    {
        let later = Situation {
            round: situation.round + 1,
            ..situation
        };
        if let Ok(next) = fresh(name, later) {
            let over = book.run.map(|run| run.id);
            return Ok(Book { over, ..next });
        }
        return Ok(book);
    }
    if !is_over && !name.is_empty() && name != book.runbook.name() {
        let id = book.situation.incident.id;
        return Err(RpcError::new(
            Code::FailedPrecondition,
            format!("incident {id} is in runbook {}", book.runbook.name()),
            format!("go on with it: ctl incident run {id}"),
        ));
    }
    Ok(book)
}

fn known_runbook(run: &RunbookRun) -> Result<&'static dyn Runbook, RpcError> {
    named(&run.runbook).ok_or_else(|| {
        RpcError::new(
            Code::FailedPrecondition,
            format!("this controller knows no runbook {:?}", run.runbook),
            all(),
        )
    })
}

fn all() -> String {
    let names: Vec<_> = RUNBOOKS.iter().map(|runbook| runbook.name()).collect();
    format!("there are: {}", names.join(", "))
}

/// One that nobody has begun: the one that is named, or the first that fits what is found.
fn fresh(name: &str, situation: Situation) -> Result<Book, RpcError> {
    let mut refused = None;
    for runbook in candidates(name, &situation)? {
        match runbook.begin(&situation) {
            Ok(start) => {
                return Ok(Book {
                    runbook,
                    run: None,
                    over: None,
                    start,
                    situation,
                });
            }
            Err(unfit) => refused = refused.or(Some(unfit)),
        }
    }
    Err(refused.map_or_else(|| no_answer("", &situation.incident), self::unfit))
}

/// What tells most first.
fn candidates(name: &str, situation: &Situation) -> Result<Vec<&'static dyn Runbook>, RpcError> {
    let incident = &situation.incident;
    if !name.is_empty() {
        let runbook = named(name).ok_or_else(|| no_answer(name, incident))?;
        return Ok(vec![runbook]);
    }
    let mut open: Vec<_> = situation
        .findings
        .iter()
        .filter(|finding| finding.closed_at.is_none())
        .collect();
    open.sort_by_key(|finding| &finding.code);
    let kinds = open.into_iter().map(|finding| finding.kind.as_str());
    let kinds = [incident.lead.kind.as_str()].into_iter().chain(kinds);
    Ok(kinds.filter_map(answer_to).collect())
}

fn no_answer(name: &str, incident: &Incident) -> RpcError {
    let message = match name {
        "" => format!("there is no runbook for {} yet", incident.lead.kind),
        name => format!("there is no runbook {name:?}"),
    };
    RpcError::new(
        Code::NotFound,
        message,
        format!(
            "what to do by hand: ctl finding explain {}; {}",
            incident.lead.code,
            all()
        ),
    )
}

/// With nothing begun.
async fn situation(services: &Services, incident: Incident) -> Result<Situation, RpcError> {
    let (catalog, incident_id) = (&services.catalog, incident.id);
    let findings = catalog.findings_of(incident.id).await?;
    let names_of = catalog.services_by_name().await?;
    // Names go from one service to another; what the incident is about stays.
    let about = About::service_of(&incident.about).or_else(|| {
        findings.iter().find_map(|finding| {
            let mut parts = finding.subject.splitn(3, '/');
            names_of.of(parts.next()?, parts.next()?)
        })
    });
    let stores = catalog.data_stores().await?;
    let service = stores.into_iter().find(|known| Some(known.id) == about);
    let history = match &service {
        Some(service) => catalog.service_history(service.id).await?,
        None => vec![],
    };
    let names = about.map(|id| names_of.names(id)).unwrap_or_default();
    let host = service.as_ref().and_then(|service| {
        let state = services.fleet.host(&service.host).ok()?;
        Some(HostFacts::from(&*state))
    });
    let mut backups = catalog.backups(false).await?;
    backups.retain(|backup| {
        let of = format!("{}/{}", backup.database.host, backup.database.instance);
        names.contains(&of)
    });
    let mut last_ok = BTreeMap::new();
    for check in catalog.checks().await? {
        let key = check::key(&check);
        if findings.iter().any(|finding| finding.key == key)
            && let Some(outcome) = catalog.last_ok_outcome(check.id).await?
        {
            last_ok.insert(key, outcome.at);
        }
    }
    backups.sort_by_key(|backup| std::cmp::Reverse(backup.taken_at));
    Ok(Situation {
        incident,
        findings,
        last_ok,
        service,
        history,
        host,
        names,
        backups,
        round: catalog.runbooks_ended(incident_id).await?,
        begun: BTreeMap::new(),
        now: services.clock.now(),
    })
}

async fn step(
    services: &Services,
    caller: &Caller,
    request: &TakeRunbookStepRequest,
) -> Result<Option<JobId>, RpcError> {
    incident::not_closed(incident::known(services, request.incident).await?)?;
    let book = open(services, request.incident, &request.name).await?;
    let offer = match request.leave_out.as_str() {
        "" => Some(offered(&book, &request.step)?),
        _ => {
            leavable(&book, &request.step)?;
            None
        }
    };
    if let Some(offer) = &offer {
        agreed(&offer.consent, &request.word)?;
    }
    let (catalog, by) = (&services.catalog, caller.actor());
    let run = begin(services, &book, &by).await?;
    let begun = book.situation.begun.get(&request.step);
    let step = NewStep {
        run,
        name: request.step.clone(),
        attempt: begun.map_or(1, |begun| begun.attempts + 1),
        by,
        left_out: request.leave_out.clone(),
    };
    if let Some(Offer {
        act: Act::Job(spec),
        ..
    }) = offer
    {
        let spec = with_hooks(services, *spec).await?;
        let traceparent = telemetry::current_traceparent();
        let job = services.jobs.submit_step(spec, &traceparent, &step).await?;
        return match job {
            Some(job) => Ok(Some(job)),
            None => Err(too_late(request)),
        };
    }
    if !catalog.take_step(&step).await? {
        return Err(too_late(request));
    }
    let is_accept = offer.is_some_and(|offer| offer.act == Act::Accept);
    if is_accept && let Err(error) = accept(services, caller, &book).await {
        catalog.give_step_back(&step).await?;
        return Err(error);
    }
    Ok(None)
}

/// The run that the step belongs to.
async fn begin(services: &Services, book: &Book, by: &str) -> Result<RunbookRunId, RpcError> {
    if let Some(run) = &book.run {
        return Ok(run.id);
    }
    let (catalog, incident) = (&services.catalog, book.situation.incident.id);
    if let Some(over) = book.over {
        catalog.end_runbook(over).await?;
    }
    let name = book.runbook.name();
    let run = catalog
        .begin_runbook(incident, name, &book.start, by)
        .await?;
    if run.runbook == name && run.start == book.start {
        return Ok(run.id);
    }
    Err(RpcError::new(
        Code::Aborted,
        format!("somebody has just begun runbook {}", run.runbook),
        format!("see how it goes: ctl incident run {incident}"),
    ))
}

fn too_late(request: &TakeRunbookStepRequest) -> RpcError {
    RpcError::new(
        Code::Aborted,
        format!("somebody has just begun step {}", request.step),
        format!("see how it goes: ctl incident run {}", request.incident),
    )
}

/// As the command of the step would do it.
async fn with_hooks(services: &Services, spec: JobSpec) -> Result<JobSpec, RpcError> {
    let JobSpec::RestoreDatabase(mut restore) = spec else {
        return Ok(spec);
    };
    if restore.replace {
        restore.dependents = super::restore::dependents(services, &restore.target).await?;
    }
    Ok(JobSpec::RestoreDatabase(restore))
}

async fn accept(services: &Services, caller: &Caller, book: &Book) -> Result<(), RpcError> {
    let Some(service) = &book.situation.service else {
        return Err(RpcError::invalid("no service of this incident is known"));
    };
    let request = AcceptInstanceRequest {
        host: service.host.to_string(),
        instance: service.instance.clone(),
        reason: format!("incident {}", book.situation.incident.id),
    };
    let services = Arc::new(services.clone());
    data_store::accept_instance(services, caller.clone(), request).await?;
    Ok(())
}

/// What can be done at this step now.
fn offered(book: &Book, name: &str) -> Result<Offer, RpcError> {
    let refused =
        |why: String, advice: String| RpcError::new(Code::FailedPrecondition, why, advice);
    let again = format!(
        "see how far it is: ctl incident run {}",
        book.situation.incident.id
    );
    let steps = book.steps()?;
    let Some(step) = steps.into_iter().find(|step| step.name == name) else {
        let why = format!("runbook {} has no step {name:?}", book.runbook.name());
        return Err(RpcError::new(Code::NotFound, why, again));
    };
    match step.stage {
        Stage::Ready(offer) | Stage::Failed { again: offer, .. } => Ok(offer),
        Stage::Done(how) | Stage::Needless(how) => {
            Err(refused(format!("step {name} is done: {how}"), again))
        }
        Stage::UnderWay { waits_for, .. } => Err(refused(
            format!("step {name} is under way: it waits for {waits_for}"),
            again,
        )),
        Stage::Blocked(Unfit { why, advice }) => Err(refused(why, advice)),
        Stage::Later => Err(refused(format!("step {name} comes after others"), again)),
    }
}

/// Whether this is the step that is next, and nothing of it runs.
fn leavable(book: &Book, name: &str) -> Result<(), RpcError> {
    let steps = book.steps()?;
    let refused =
        |why: String, advice: String| Err(RpcError::new(Code::FailedPrecondition, why, advice));
    match runbook::next(&steps) {
        Some(step) if step.name == name => match &step.stage {
            Stage::UnderWay { job: Some(job), .. } => refused(
                format!("step {name} is under way: job {job}"),
                format!("cancel it first: ctl job cancel {job}"),
            ),
            _ => Ok(()),
        },
        Some(step) => refused(
            format!(
                "only the next step can be left out, and that is {}",
                step.name
            ),
            format!(
                "leave it out, or do it: ctl incident run {}",
                book.situation.incident.id
            ),
        ),
        None => refused(
            format!("runbook {} is over", book.runbook.name()),
            String::new(),
        ),
    }
}

fn agreed(consent: &Consent, word: &str) -> Result<(), RpcError> {
    match consent {
        Consent::Typed(wanted) if wanted != word => Err(RpcError::new(
            Code::FailedPrecondition,
            format!("{word:?} is not {wanted:?}: nothing was changed"),
            format!("type {wanted} exactly, or leave it"),
        )),
        Consent::Automatic | Consent::Confirmed | Consent::Typed(_) => Ok(()),
    }
}

fn unfit(unfit: Unfit) -> RpcError {
    RpcError::new(Code::FailedPrecondition, unfit.why, unfit.advice)
}
