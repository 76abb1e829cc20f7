//! What holds for hosts as a whole: rebuilds and off-site drills, and the hosts for which it is otherwise.

use chrono_tz::Tz;
use holdfast_proto::names::{HostName, NameError};

use super::{
    fields::{Fields, Section},
    mistake::Mistakes,
    plan::{host, is_none, scheduled, zone},
    tree::Value,
};
use crate::policy::{HostPlan, HostPlans, RebuildPlan};

/// What is not said is as in `builtin`, by the clocks of `zone`.
pub fn hosts(
    fields: &Fields<'_>,
    builtin: &HostPlan,
    zone: Tz,
    mistakes: &mut Mistakes,
) -> HostPlans {
    let known = ["time_zone", "rebuild", "offsite", "except"];
    let Some(section) = fields.section(&known, mistakes) else {
        return HostPlans::default();
    };
    let zone = zone_of(&section, zone, mistakes);
    let plan = plan(&section, builtin, zone, mistakes);
    let mut plans = HostPlans {
        plan,
        ..HostPlans::default()
    };
    let except = section.get("except").map(|f| f.entries(mistakes));
    for (name, fields) in except.unwrap_or_default() {
        let parsed: Result<HostName, NameError> = name.parse();
        let section = fields.section(&["time_zone", "rebuild", "offsite"], mistakes);
        match (parsed, section) {
            (Ok(name), Some(section)) => {
                let zone = zone_of(&section, zone, mistakes);
                let plan = self::plan(&section, &plans.plan, zone, mistakes);
                plans.except.insert(name, plan);
            }
            (Err(error), _) => mistakes.add(&fields, error.to_string(), ""),
            (Ok(_), None) => {}
        }
    }
    plans
}

fn zone_of(section: &Section<'_>, otherwise: Tz, mistakes: &mut Mistakes) -> Tz {
    let own = section.get("time_zone").and_then(|f| zone(&f, mistakes));
    own.unwrap_or(otherwise)
}

fn plan(section: &Section<'_>, base: &HostPlan, zone: Tz, mistakes: &mut Mistakes) -> HostPlan {
    HostPlan {
        rebuild: match section.get("rebuild") {
            Some(fields) if is_none(&fields) => None,
            Some(fields) => rebuild(&fields, zone, mistakes),
            None => base.rebuild.clone().map(|rebuild| RebuildPlan {
                timing: rebuild.timing.in_zone(zone),
                ..rebuild
            }),
        },
        offsite: match section.get("offsite") {
            Some(fields) if is_none(&fields) => None,
            Some(fields) => scheduled(&fields, zone, &[], mistakes),
            None => base.offsite.as_ref().map(|timing| timing.in_zone(zone)),
        },
    }
}

/// `quarterly`, or keys.
fn rebuild(fields: &Fields<'_>, zone: Tz, mistakes: &mut Mistakes) -> Option<RebuildPlan> {
    let timing = scheduled(fields, zone, &["on"], mistakes)?;
    let on = if let Value::Map(_) = fields.value() {
        // Its keys were looked at a moment ago.
        let section = fields.section(&["schedule", "jitter", "on"], &mut Mistakes::default())?;
        section.get("on").and_then(|f| host(&f, mistakes))
    } else {
        None
    };
    Some(RebuildPlan { timing, on })
}
