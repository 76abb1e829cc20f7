//! Incidents: list, get, report, open, note, assign, close.

use std::sync::Arc;

use holdfast_proto::wire::{
    AssignIncidentRequest, AssignIncidentResponse, CloseIncidentRequest, CloseIncidentResponse,
    GetIncidentRequest, GetIncidentResponse, ListIncidentsRequest, ListIncidentsResponse,
    NoteIncidentRequest, NoteIncidentResponse, OpenIncidentRequest, OpenIncidentResponse,
    ReportIncidentRequest, ReportIncidentResponse,
};
use tonic::Code;

use super::{
    RpcError, Services,
    caller::{Caller, Change},
    runbook,
};
use crate::{
    detect::Finding,
    incident::{
        About, Concern, Incident, IncidentId, Joining, Lead, Line, Sources, State, Step,
        report::{Report, markdown},
        timeline,
    },
    objective::Scenario,
};

pub async fn list(
    services: Arc<Services>,
    _: Caller,
    request: ListIncidentsRequest,
) -> Result<ListIncidentsResponse, RpcError> {
    let incidents = services.catalog.incidents(request.include_closed).await?;
    Ok(ListIncidentsResponse {
        incidents: incidents.into_iter().map(Into::into).collect(),
    })
}

pub async fn get(
    services: Arc<Services>,
    _: Caller,
    request: GetIncidentRequest,
) -> Result<GetIncidentResponse, RpcError> {
    let whole = whole(&services, request.id).await?;
    Ok(GetIncidentResponse {
        incident: Some(whole.incident.into()),
        findings: whole.findings.into_iter().map(Into::into).collect(),
        timeline: whole.timeline.into_iter().map(Into::into).collect(),
    })
}

pub async fn report(
    services: Arc<Services>,
    _: Caller,
    request: ReportIncidentRequest,
) -> Result<ReportIncidentResponse, RpcError> {
    let Whole {
        incident,
        findings,
        timeline,
        concern,
    } = whole(&services, request.id).await?;
    let now = services.clock.now();
    let (from, to) = (incident.opened_at, incident.over_at().unwrap_or(now));
    let mut counted = services.catalog.counted_around(from, to).await?;
    counted.retain(|counted| concern.covers(&counted.database));
    let mut recoveries = services.catalog.recoveries().await?;
    recoveries.retain(|one| {
        let name = one.database.to_string();
        let real = one.scenario == Scenario::Restore;
        real && one.at >= from
            && incident.closed_at.is_none_or(|end| one.at <= end)
            && concern.covers(&name)
    });
    let report = Report {
        incident,
        findings,
        timeline,
        counted,
        recoveries,
        now,
    };
    Ok(ReportIncidentResponse {
        markdown: markdown(&report),
    })
}

pub async fn open(
    services: Arc<Services>,
    caller: Caller,
    request: OpenIncidentRequest,
) -> Result<OpenIncidentResponse, RpcError> {
    let change = Change {
        action: "incident.open",
        subject: format!("finding {}", request.finding),
        detail: String::new(),
    };
    let work = open_of(&services, &caller, request.finding);
    let incident = caller.change(&services, change, work).await?;
    Ok(OpenIncidentResponse {
        incident: Some(incident.into()),
    })
}

pub async fn note(
    services: Arc<Services>,
    caller: Caller,
    request: NoteIncidentRequest,
) -> Result<NoteIncidentResponse, RpcError> {
    let text = request.text.trim();
    if text.is_empty() {
        return Err(RpcError::invalid("the note is empty"));
    }
    let change = change("incident.note", request.id, text);
    let work = async {
        known(&services, request.id).await?;
        let by = caller.actor();
        services
            .catalog
            .note_incident(request.id, &by, text)
            .await?;
        known(&services, request.id).await
    };
    let incident = caller.change(&services, change, work).await?;
    Ok(NoteIncidentResponse {
        incident: Some(incident.into()),
    })
}

pub async fn assign(
    services: Arc<Services>,
    caller: Caller,
    request: AssignIncidentRequest,
) -> Result<AssignIncidentResponse, RpcError> {
    let to = match (request.nobody, request.to.as_str()) {
        (true, _) => "",
        (false, "") => &caller.name,
        (false, to) => to,
    };
    let detail = if to.is_empty() {
        "to nobody".to_owned()
    } else {
        format!("to {to}")
    };
    let change = change("incident.assign", request.id, &detail);
    let work = async {
        not_closed(known(&services, request.id).await?)?;
        if !to.is_empty() {
            is_operator(&services, to).await?;
        }
        let by = caller.actor();
        services
            .catalog
            .assign_incident(request.id, to, &by)
            .await?;
        known(&services, request.id).await
    };
    let incident = caller.change(&services, change, work).await?;
    Ok(AssignIncidentResponse {
        incident: Some(incident.into()),
    })
}

pub async fn close(
    services: Arc<Services>,
    caller: Caller,
    request: CloseIncidentRequest,
) -> Result<CloseIncidentResponse, RpcError> {
    let cause = request.cause.trim();
    if cause.is_empty() {
        return Err(RpcError::invalid("no cause is given: say what it was"));
    }
    let change = change("incident.close", request.id, cause);
    let work = async {
        let incident = not_closed(known(&services, request.id).await?)?;
        if !request.still_found {
            nothing_is_found(&incident, &services.catalog.findings_of(incident.id).await?)?;
            runbook::nothing_is_left(&services, incident.id).await?;
        }
        let by = caller.actor();
        if !services
            .catalog
            .close_incident(incident.id, &by, cause)
            .await?
        {
            not_closed(known(&services, incident.id).await?)?;
        }
        known(&services, incident.id).await
    };
    let incident = caller.change(&services, change, work).await?;
    Ok(CloseIncidentResponse {
        incident: Some(incident.into()),
    })
}

fn change(action: &'static str, id: IncidentId, detail: &str) -> Change {
    Change {
        action,
        subject: format!("incident {id}"),
        detail: detail.to_owned(),
    }
}

/// An incident with everything that happened.
struct Whole {
    incident: Incident,
    findings: Vec<Finding>,
    timeline: Vec<Line>,
    concern: Concern,
}

async fn whole(services: &Services, id: IncidentId) -> Result<Whole, RpcError> {
    let catalog = &services.catalog;
    let incident = known(services, id).await?;
    let findings = catalog.findings_of(id).await?;
    let concern = Concern::of(&incident, &findings, &catalog.services_by_name().await?);
    let (from, to) = incident.span();
    let mut sources = Sources {
        events: catalog.incident_events(id).await?,
        findings: findings.clone(),
        ..Sources::default()
    };
    for job in catalog.jobs_between(from, to).await? {
        let locks = job.spec.definition().locks();
        let mut resources = locks.iter().map(|wish| wish.resource.to_string());
        if resources.any(|resource| concern.covers_resource(&resource)) {
            sources.jobs.push(job.view());
        }
    }
    sources.audit = catalog.audit_between(from, to).await?;
    let of_incident = format!("incident {id}");
    sources.audit.retain(|entry| {
        let subject = &entry.content.subject;
        *subject == of_incident || concern.covers(subject)
    });
    sources.guarded = catalog.guard_refusals_between(from, to).await?;
    sources.guarded.retain(|refused| {
        let place = format!("{}/{}", refused.host, refused.refusal.place);
        concern.covers(&place)
    });
    for name in concern.names() {
        if let Ok(instance) = name.parse() {
            sources
                .data
                .extend(catalog.instance_history(&instance).await?);
        }
    }
    Ok(Whole {
        timeline: timeline(&incident, sources),
        incident,
        findings,
        concern,
    })
}

pub(super) async fn known(services: &Services, id: IncidentId) -> Result<Incident, RpcError> {
    let incident = services.catalog.incident(id).await?;
    incident.ok_or_else(|| {
        RpcError::new(
            Code::NotFound,
            format!("there is no incident {id}"),
            "see which there are: ctl incident list --all",
        )
    })
}

pub(super) fn not_closed(incident: Incident) -> Result<Incident, RpcError> {
    match incident.state() {
        State::Open | State::Resolved => Ok(incident),
        State::Closed => Err(RpcError::new(
            Code::FailedPrecondition,
            format!("incident {} is closed", incident.id),
            format!("see how it ended: ctl incident show {}", incident.id),
        )),
    }
}

fn nothing_is_found(incident: &Incident, findings: &[Finding]) -> Result<(), RpcError> {
    let open = findings
        .iter()
        .filter(|finding| finding.closed_at.is_none());
    let open: Vec<_> = open
        .map(|finding| format!("{} on {}", finding.kind, finding.subject))
        .collect();
    if open.is_empty() {
        return Ok(());
    }
    Err(RpcError::new(
        Code::FailedPrecondition,
        format!(
            "incident {} is not over: {} is still found",
            incident.id,
            open.join(", ")
        ),
        format!(
            "see what to do: ctl incident show {}; to close it all the same: --still-found",
            incident.id
        ),
    ))
}

async fn is_operator(services: &Services, name: &str) -> Result<(), RpcError> {
    let operators = services.registrar.operators().await?;
    if operators.iter().any(|operator| operator.name == name) {
        return Ok(());
    }
    let names: Vec<_> = operators
        .into_iter()
        .map(|operator| operator.name)
        .collect();
    Err(RpcError::new(
        Code::NotFound,
        format!("there is no operator {name:?}"),
        format!("there are: {}", names.join(", ")),
    ))
}

/// By the word of an operator; what is found of the same joins it from then on.
async fn open_of(services: &Services, caller: &Caller, finding: u64) -> Result<Incident, RpcError> {
    let catalog = &services.catalog;
    let found = catalog.finding(finding).await?.ok_or_else(|| {
        RpcError::new(
            Code::NotFound,
            format!("there is no finding {finding}"),
            "see which there are: ctl finding list",
        )
    })?;
    if let Some(incident) = found.incident {
        return Err(RpcError::new(
            Code::FailedPrecondition,
            format!("finding {finding} belongs to incident {incident}"),
            format!("ctl incident show {incident}"),
        ));
    }
    if found.closed_at.is_some() {
        return Err(RpcError::new(
            Code::FailedPrecondition,
            format!("finding {finding} is over"),
            "see what is open: ctl finding list",
        ));
    }
    let about = About::of(&found, &catalog.services_by_name().await?);
    let step = Step {
        of: Joining::New(about),
        join: vec![finding],
        lead: Some(Lead::from(&found)),
        becomes: None,
    };
    let (by, now) = (caller.actor(), services.clock.now());
    // None: one of the same was opened meanwhile, and takes the finding with the next look.
    let opened = catalog.take_incident_step(&step, &by, now).await?;
    match opened {
        Some(id) => known(services, id).await,
        None => Err(RpcError::new(
            Code::Aborted,
            format!("an incident about {} is open already", found.subject),
            "see which: ctl incident list",
        )),
    }
}
