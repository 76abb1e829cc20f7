//! The section for hosts as a whole.

use super::*;
use crate::{policy::HostPlan, schedule::Work};

fn shown(plan: &HostPlan) -> [String; 3] {
    let timing = |work| plan.timing(work).map(ToString::to_string);
    let on = plan.rebuild.as_ref().and_then(|rebuild| rebuild.on.clone());
    [
        timing(Work::Rebuild).unwrap_or_default(),
        on.map(|host| host.to_string()).unwrap_or_default(),
        timing(Work::Offsite).unwrap_or_default(),
    ]
}

fn of(text: &str, host: &str) -> [String; 3] {
    shown(read(text).unwrap().hosts.of(&host.parse().unwrap()))
}

#[test]
fn without_a_word_every_host_is_rebuilt_each_quarter_and_read_each_year() {
    assert_eq!(of("", "web-1"), ["quarterly (UTC)", "", "yearly (UTC)"]);
    let berlin = of("default: {time_zone: Europe/Berlin}", "web-1");
    assert_eq!(berlin[0], "quarterly (Europe/Berlin)");
}

#[test]
fn what_is_said_of_all_holds_for_all_but_those_for_which_something_else_is_said() {
    let text = "hosts:\n  rebuild: {schedule: monthly, on: lab-1}\n  offsite: 0 3 1 2 *\n  except:\n    \
                lab-1: {rebuild: none}\n    web-2: {offsite: none, time_zone: Europe/Berlin}\n";
    assert_eq!(
        of(text, "web-1"),
        ["monthly (UTC)", "lab-1", "0 3 1 2 * (UTC)"]
    );
    assert_eq!(of(text, "lab-1"), ["", "", "0 3 1 2 * (UTC)"]);
    assert_eq!(of(text, "web-2"), ["monthly (Europe/Berlin)", "lab-1", ""]);
}

#[test]
fn a_mistake_names_line_and_key() {
    let quaterly = mistake("hosts:\n  rebuild: {schedule: quaterly}\n");
    assert!(
        quaterly.starts_with("line 2: hosts.rebuild.schedule: \"quaterly\" is no schedule")
            && quaterly.ends_with("did you mean quarterly?"),
        "{quaterly}"
    );
    for (line, said) in [
        (
            "rebuild: {schedule: daily, host: lab-1}",
            "line 2: hosts.rebuild.host: there is no key \"host\"; known are schedule, jitter, on",
        ),
        (
            "except: {lab_1: {rebuild: none}}",
            "line 2: hosts.except.lab_1: \"lab_1\" is not a host name: 2 to 40 of a-z, 0-9 and -, from a letter to a \
             letter or digit",
        ),
        (
            "except: {lab-1: none}",
            "line 2: hosts.except.lab-1: should be keys with values, not \"none\"; such as time_zone, rebuild, offsite",
        ),
        (
            "ofsite: none",
            "line 2: hosts.ofsite: there is no key \"ofsite\"; did you mean offsite?",
        ),
    ] {
        assert_eq!(mistake(&format!("hosts:\n  {line}\n")), said);
    }
}

fn plan(zone: Tz) -> impl Strategy<Value = HostPlan> {
    let rebuild = (timings(zone), prop::option::of("[a-z]{2,6}-[0-9]")).prop_map(|(timing, on)| {
        crate::policy::RebuildPlan {
            timing,
            on: on.map(|name| name.parse().unwrap()),
        }
    });
    (prop::option::of(rebuild), prop::option::of(timings(zone)))
        .prop_map(|(rebuild, offsite)| HostPlan { rebuild, offsite })
}

pub fn plans() -> impl Strategy<Value = HostPlans> {
    let zones = [Tz::UTC, Tz::Europe__Berlin, Tz::America__New_York];
    let named = prop::sample::select(zones.to_vec()).prop_flat_map(plan);
    let except = prop::collection::btree_map("[a-z]{2,6}-[0-9]", named, 0..3);
    (
        prop::sample::select(zones.to_vec()).prop_flat_map(plan),
        except,
    )
        .prop_map(|(plan, except)| {
            let parsed = except
                .into_iter()
                .map(|(name, plan)| (name.parse().unwrap(), plan));
            HostPlans {
                plan,
                except: parsed.collect(),
            }
        })
}
