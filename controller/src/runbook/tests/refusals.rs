//! What is refused: the wrong data, the wrong backup, and what nobody sees.

use super::*;
use crate::{
    data_store::{Event, EventKind},
    retention::Deletion,
};

#[test]
fn nothing_is_begun_on_other_data_than_those_it_is_meant_for() {
    let mut now_is = situation(true);
    let start = book().begin(&now_is).unwrap();
    let blocked = |now_is: &Situation| {
        let steps = plan(&start, now_is);
        match &next(&steps).unwrap().stage {
            Stage::Blocked(unfit) => unfit.why.clone(),
            other => panic!("{other:?}"),
        }
    };
    // Somebody has put it back before the new rows were kept: they are elsewhere.
    now_is.service.as_mut().unwrap().swapped = None;
    assert!(blocked(&now_is).contains("does not lie on the data in manualmode_data"));

    // Somebody says that the new data are right.
    begun(
        &mut now_is,
        "keep-new-rows shop",
        Some((7, JobState::Succeeded)),
    );
    let service = now_is.service.as_mut().unwrap();
    service.accepted.system_identifier = "8".to_owned();
    service.accepted.volume = Some(volume("manualmode_data"));
    assert!(blocked(&now_is).contains("are the right ones"));
}

#[test]
fn backups_of_other_data_and_deleted_ones_are_not_brought_back() {
    let event = |hours: i64, kind: EventKind| Event {
        at: now() - TimeDelta::hours(hours),
        host: "web-1".parse().unwrap(),
        service: "shop".to_owned(),
        instance: "shop-db".to_owned(),
        kind,
        changes: vec![],
        by: String::new(),
        reason: String::new(),
        store: None,
    };
    let mut now_is = situation(false);
    now_is.backups = vec![
        backup(35, "before-db", 3, 5),
        backup(34, "before-db", 5, 4),
        backup(33, "before-db", 8, 3),
        backup(32, "before-db", 30, 2),
    ];
    now_is.backups[2].deletion = Some(Deletion {
        by: "operator/ann".to_owned(),
        forced: false,
    });
    let best = |now_is: &Situation| {
        let backup = now_is.best_before("shop", now(), "restore shop");
        backup.map(|backup| backup.id)
    };
    assert_eq!(best(&now_is), Some(35));
    now_is.history = vec![
        event(2, EventKind::Returned),
        event(6, EventKind::Swapped),
        event(7, EventKind::Changed),
        event(100, EventKind::FirstSeen),
    ];
    assert_eq!(best(&now_is), Some(32));
    // They were said to be right.
    now_is.history[0].kind = EventKind::Accepted;
    assert_eq!(best(&now_is), Some(35));
}

#[test]
fn where_nobody_sees_whether_the_old_data_are_there_nothing_is_restored_over() {
    let refused = |change: fn(&mut Known)| {
        let mut now_is = situation(false);
        change(now_is.service.as_mut().unwrap());
        book().begin(&now_is).unwrap_err().why
    };
    let folder = refused(|service| {
        service.accepted.volume = None;
        service.accepted.host_path = "/srv/shop/pgdata".to_owned();
    });
    assert!(
        folder.contains("folder /srv/shop/pgdata on web-1"),
        "{folder}"
    );
    let path = refused(|service| {
        service.accepted.volume = Some(volume("manualmode_data"));
        service.accepted.path = "/var/lib/postgresql/old".to_owned();
    });
    assert!(
        path.contains("they were in /var/lib/postgresql/old"),
        "{path}"
    );
}
