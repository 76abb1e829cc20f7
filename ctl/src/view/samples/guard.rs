//! Guards: one that guards, one that is not there, one that nobody knows of.

use holdfast_proto::guard::{Allowance, CountedDatabase, GuardRefusal};

use super::text;
use crate::{
    output::testing::at,
    view::guard::{
        GuardDetail, GuardList, Guarded, GuardedPlace, HostGuard, HostRefusal, RefusalList, State,
    },
};

fn guarded(place: &str) -> Guarded {
    Guarded {
        place: text(place),
        server: text("PostgreSQL 17"),
        instance: text("shop-db"),
        in_use: true,
        databases: vec![CountedDatabase {
            name: text("shop"),
            users: Some(5012),
            proven_at: Some(at("2026-11-20T02:00:00Z")),
            fresh_until: Some(at("2026-11-20T03:00:00Z")),
        }],
        proven_at: Some(at("2026-11-20T02:00:00Z")),
        fresh_until: Some(at("2026-11-20T03:00:00Z")),
        allowance: None,
    }
}

fn guard(host: &str, state: State, error: &str) -> HostGuard {
    HostGuard {
        host: text(host),
        state,
        error: text(error),
        version: String::new(),
        since: None,
        calls: 0,
        refused: 0,
        told_at: None,
        data: vec![],
        troubles: vec![],
        refusals: vec![],
    }
}

fn guards() -> HostGuard {
    let mut half = guarded("shop_db");
    half.databases.push(CountedDatabase {
        name: text("crm"),
        users: None,
        proven_at: None,
        fresh_until: None,
    });
    (half.proven_at, half.fresh_until) = (None, None);
    let mut fresh = guarded("blog_data");
    fresh.fresh_until = Some(at("2026-11-21T02:00:00Z"));
    HostGuard {
        version: text("0.1.0"),
        since: Some(at("2026-11-19T08:00:00Z")),
        calls: 1840,
        refused: 2,
        told_at: Some(at("2026-11-20T11:59:50Z")),
        data: vec![half, fresh],
        refusals: vec![GuardRefusal {
            at: at("2026-11-20T11:40:00Z"),
            rule: text("loss"),
            place: text("shop_db"),
            call: text("DELETE volumes/shop_db"),
            sentence: text(
                "volume shop_db holds database shop (5 012 users), last proven backup 9 hours ago",
            ),
        }],
        ..guard("web-1", State::Guards, "")
    }
}

pub(crate) fn list() -> GuardList {
    GuardList {
        guards: vec![
            guards(),
            guard("web-2", State::NotInstalled, ""),
            guard("web-3", State::Unknown, "host web-3 is not connected"),
        ],
    }
}

pub(crate) fn detail() -> GuardDetail {
    GuardDetail { guard: guards() }
}

pub(crate) fn refusals() -> RefusalList {
    let refusals = guards().refusals.into_iter();
    let refusals = refusals.map(|refusal| HostRefusal {
        host: text("web-1"),
        refusal,
    });
    RefusalList {
        refusals: refusals.collect(),
    }
}

pub(crate) fn allowed() -> GuardedPlace {
    let mut data = guarded("shop_db");
    data.allowance = Some(Allowance {
        until: at("2026-11-20T12:10:00Z"),
        reason: text("moved to web-2"),
        by: text("operator/ann"),
    });
    GuardedPlace {
        host: text("web-1"),
        data,
    }
}
