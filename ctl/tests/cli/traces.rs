//! One trace a command: its id is printed on demand and travels with every call.

use crate::{answers::fleet, controller::Controller};

#[test]
fn the_trace_that_is_printed_is_the_one_that_travels() {
    let controller = Controller::with_login();
    controller.answer(fleet);
    let said = controller.ctl(&["host", "show", "web-1", "-v"]);
    assert_eq!(said.code, 0, "{said:#?}");
    let id = said.err.trim().strip_prefix("trace ").unwrap_or_default();
    assert!(
        id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{said:#?}"
    );
    let heard = controller.script.heard.lock().unwrap();
    assert!(heard.len() > 1, "{heard:#?}");
    for one in heard.iter() {
        let traceparent = one.traceparent.as_deref().unwrap_or_default();
        assert_eq!(traceparent.split('-').nth(1), Some(id), "{one:#?}");
    }
}

#[test]
fn two_commands_are_two_traces() {
    let controller = Controller::with_login();
    controller.answer(fleet);
    controller.ok(&["host", "list"]);
    controller.ok(&["host", "list"]);
    let heard = controller.script.heard.lock().unwrap();
    assert_ne!(heard[0].traceparent, heard[1].traceparent);
}
