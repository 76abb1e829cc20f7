//! Runbooks, to the wire.

use holdfast_proto::wire;

use crate::runbook::{Consent, Offer, Stage, Step, Unfit};

impl From<Step> for wire::RunbookStep {
    fn from(step: Step) -> Self {
        let Step {
            name,
            says,
            command,
            checks,
            stage,
        } = step;
        let mut told = Self {
            name,
            says,
            command,
            checks,
            ..Self::default()
        };
        use wire::RunbookStage as Told;
        let stage = match stage {
            Stage::Done(how) => {
                told.told = how;
                Told::Done
            }
            Stage::Needless(why) => {
                told.told = why;
                Told::Needless
            }
            Stage::UnderWay { job, waits_for } => {
                told.job = job.unwrap_or(0);
                told.told = waits_for;
                Told::UnderWay
            }
            Stage::Ready(offer) => {
                told.offer(offer);
                Told::Ready
            }
            Stage::Failed { why, again } => {
                told.told = why;
                told.offer(again);
                Told::Failed
            }
            Stage::Blocked(Unfit { why, advice }) => {
                told.told = why;
                told.advice = advice;
                Told::Blocked
            }
            Stage::Later => Told::Later,
        };
        told.stage = stage.into();
        told
    }
}

trait Offered {
    fn offer(&mut self, offer: Offer);
}

impl Offered for wire::RunbookStep {
    fn offer(&mut self, offer: Offer) {
        let (consent, word) = match offer.consent {
            Consent::Automatic => (wire::RunbookConsent::Automatic, String::new()),
            Consent::Confirmed => (wire::RunbookConsent::Confirmed, String::new()),
            Consent::Typed(word) => (wire::RunbookConsent::Typed, word),
        };
        self.consent = consent.into();
        self.word = word;
    }
}
