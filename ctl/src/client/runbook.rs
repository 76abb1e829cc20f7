//! Runbooks of incidents: how far they are, and the next step.

use holdfast_proto::{WireError, wire};

use super::{
    CallError, Client,
    read::{required, time, variant},
    within,
};
use crate::view::runbook::{Consent, Runbook, Stage, Step};

/// What becomes of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agreed {
    /// `word`: what was typed where the step asks for it.
    Do {
        word: String,
    },
    LeaveOut {
        reason: String,
    },
}

/// # Errors
/// All of them: the controller refuses, does not answer, or answers what makes no sense.
impl Client {
    /// `name`: empty for the one that fits, or was begun.
    pub async fn runbook(&mut self, incident: u64, name: String) -> Result<Runbook, CallError> {
        let request = wire::GetRunbookRequest { incident, name };
        let answer = within(self.within, self.inner.get_runbook(request)).await?;
        let runbook = required("GetRunbookResponse", "runbook", answer.runbook)?;
        Ok(of(incident, runbook)?)
    }

    /// With the job that is to be followed, when there is one.
    pub async fn take_step(
        &mut self,
        incident: u64,
        name: String,
        step: String,
        agreed: Agreed,
    ) -> Result<(Runbook, Option<u64>), CallError> {
        let (word, leave_out) = match agreed {
            Agreed::Do { word } => (word, String::new()),
            Agreed::LeaveOut { reason } => (String::new(), reason),
        };
        let request = wire::TakeRunbookStepRequest {
            incident,
            name,
            step,
            word,
            leave_out,
        };
        let answer = within(self.within, self.inner.take_runbook_step(request)).await?;
        let runbook = required("TakeRunbookStepResponse", "runbook", answer.runbook)?;
        Ok((
            of(incident, runbook)?,
            Some(answer.job).filter(|job| *job != 0),
        ))
    }
}

fn of(incident: u64, runbook: wire::Runbook) -> Result<Runbook, WireError> {
    let wire::Runbook {
        name,
        says,
        begun_at,
        begun_by,
        steps,
    } = runbook;
    let steps = steps.into_iter().map(Step::try_from);
    Ok(Runbook {
        incident,
        name,
        says,
        begun_at: time("Runbook", "begun_at", begun_at)?,
        begun_by,
        steps: steps.collect::<Result<_, _>>()?,
    })
}

impl TryFrom<wire::RunbookStep> for Step {
    type Error = WireError;

    fn try_from(step: wire::RunbookStep) -> Result<Self, WireError> {
        let wire::RunbookStep {
            name,
            says,
            command,
            checks,
            stage,
            told,
            advice,
            job,
            consent,
            word,
            by,
        } = step;
        Ok(Self {
            name,
            says,
            command,
            checks,
            stage: variant("RunbookStep", "stage", stage, |stage| match stage {
                wire::RunbookStage::Unspecified => None,
                wire::RunbookStage::Done => Some(Stage::Done),
                wire::RunbookStage::Needless => Some(Stage::Needless),
                wire::RunbookStage::UnderWay => Some(Stage::UnderWay),
                wire::RunbookStage::Ready => Some(Stage::Ready),
                wire::RunbookStage::Failed => Some(Stage::Failed),
                wire::RunbookStage::Blocked => Some(Stage::Blocked),
                wire::RunbookStage::Later => Some(Stage::Later),
            })?,
            told,
            advice,
            job: Some(job).filter(|job| *job != 0),
            consent: variant("RunbookStep", "consent", consent, |consent| match consent {
                wire::RunbookConsent::Unspecified => Some(None),
                wire::RunbookConsent::Automatic => Some(Some(Consent::Automatic)),
                wire::RunbookConsent::Confirmed => Some(Some(Consent::Confirmed)),
                wire::RunbookConsent::Typed => Some(Some(Consent::Typed)),
            })?,
            word,
            by,
        })
    }
}
