//! Where the running step stands, put together from what both hosts say.

use std::{collections::BTreeMap, time::Duration};

use holdfast_proto::{
    image::DataPath,
    task::{TaskPhase, TaskProgress},
};

use crate::output::units;

/// One report of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub step: String,
    pub host: String,
    pub task: TaskProgress,
    pub bytes_per_second: u64,
    pub remaining: Option<Duration>,
}

/// The newest report of each host, for one step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Board {
    step: String,
    hosts: BTreeMap<String, Progress>,
}

impl Board {
    pub fn take(&mut self, progress: Progress) {
        if self.step != progress.step {
            self.hosts.clear();
            self.step.clone_from(&progress.step);
        }
        self.hosts.insert(progress.host.clone(), progress);
    }

    /// The host that is furthest: the one that receives, once it has more to do than the sender.
    fn lead(&self) -> Option<&Progress> {
        self.hosts.values().max_by_key(|progress| {
            let task = &progress.task;
            (order(task.phase), task.bytes_total, task.bytes_done)
        })
    }

    /// 0 to 1000 of the running phase; `None` while the total is unknown.
    #[must_use]
    pub fn permille(&self) -> Option<u64> {
        let task = &self.lead()?.task;
        let of = |done: u64, total: u64| {
            (total > 0).then(|| {
                u64::try_from(u128::from(done.min(total)) * 1000 / u128::from(total))
                    .unwrap_or(1000)
            })
        };
        of(task.bytes_done, task.bytes_total).or_else(|| of(task.items_done, task.items_total))
    }

    /// "transfer: data, 120 MiB of 340 MiB, 85 MiB/s, 3 s left, 5 000 rows, direct, public.orders".
    #[must_use]
    pub fn text(&self) -> String {
        let Some(lead) = self.lead() else {
            return String::new();
        };
        let task = &lead.task;
        let mut parts = vec![phase_word(task.phase).to_owned()];
        match (task.bytes_done, task.bytes_total) {
            (0, 0) => {}
            (done, 0) => parts.push(units::size(done)),
            // The total is an estimate: it never looks as if more than all had come.
            (done, total) => parts.push(format!(
                "{} of {}",
                units::size(done),
                units::size(total.max(done))
            )),
        }
        if lead.bytes_per_second > 0 {
            parts.push(units::rate(lead.bytes_per_second));
        }
        if let Some(left) = lead.remaining {
            parts.push(format!("{} left", units::span(left)));
        }
        if task.rows_done > 0 {
            parts.push(units::plural(task.rows_done, "row"));
        }
        // The receiver reads back while the sender, which may be ahead, still sends.
        let verified = self.hosts.values().map(|host| host.task.verified_rows);
        if let Some(verified) = verified.max().filter(|rows| *rows > 0) {
            parts.push(format!("{} read back", units::plural(verified, "row")));
        }
        if task.items_total > 0 {
            parts.push(format!("{}/{}", task.items_done, task.items_total));
        }
        match task
            .path
            .or_else(|| self.hosts.values().find_map(|host| host.task.path))
        {
            Some(DataPath::Direct) => parts.push("direct".to_owned()),
            Some(DataPath::Relay) => parts.push("through the controller".to_owned()),
            Some(DataPath::Repository) => parts.push("repository".to_owned()),
            None => {}
        }
        // What a narrow terminal cuts off comes last.
        if !task.current.is_empty() {
            parts.push(task.current.clone());
        }
        format!("{}: {}", lead.step, parts.join(", "))
    }
}

fn phase_word(phase: TaskPhase) -> &'static str {
    match phase {
        TaskPhase::Prepare => "preparing",
        TaskPhase::Schema => "schema",
        TaskPhase::Data => "data",
        TaskPhase::Indexes => "indexes",
        TaskPhase::Constraints => "constraints",
        TaskPhase::ReadBack => "reading back",
        TaskPhase::Analyze => "analyzing",
    }
}

fn order(phase: TaskPhase) -> u8 {
    match phase {
        TaskPhase::Prepare => 0,
        TaskPhase::Schema => 1,
        TaskPhase::Data => 2,
        TaskPhase::Indexes => 3,
        TaskPhase::Constraints => 4,
        TaskPhase::ReadBack => 5,
        TaskPhase::Analyze => 6,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Board, DataPath, Duration, Progress, TaskPhase, TaskProgress};

    const MIB: u64 = 1024 * 1024;

    pub(crate) fn report(host: &str, phase: TaskPhase, done: u64, total: u64) -> Progress {
        Progress {
            step: "transfer".to_owned(),
            host: host.to_owned(),
            task: TaskProgress {
                phase,
                bytes_done: done * MIB,
                bytes_total: total * MIB,
                rows_done: 0,
                items_done: 0,
                items_total: 0,
                current: "public.orders".to_owned(),
                verified_rows: 0,
                path: None,
            },
            bytes_per_second: 85 * MIB,
            remaining: Some(Duration::from_secs(12)),
        }
    }

    #[test]
    fn the_furthest_host_speaks() {
        let mut board = Board::default();
        assert_eq!(board.text(), "");
        assert_eq!(board.permille(), None);
        let mut sender = report("web-1", TaskPhase::Data, 120, 340);
        sender.task.path = Some(DataPath::Direct);
        board.take(sender);
        assert_eq!(
            board.text(),
            "transfer: data, 120 MiB of 340 MiB, 85 MiB/s, 12 s left, direct, public.orders"
        );
        assert_eq!(board.permille(), Some(352));
        let mut receiver = report("web-2", TaskPhase::Indexes, 0, 0);
        receiver.task.items_done = 3;
        receiver.task.items_total = 12;
        receiver.bytes_per_second = 0;
        receiver.remaining = None;
        board.take(receiver);
        assert_eq!(
            board.text(),
            "transfer: indexes, 3/12, direct, public.orders"
        );
        assert_eq!(board.permille(), Some(250));
    }

    #[test]
    fn rows_are_told_as_they_come_and_as_they_are_read_back() {
        let mut board = Board::default();
        let mut sender = report("web-1", TaskPhase::Data, 120, 340);
        sender.task.rows_done = 1_234_567;
        board.take(sender);
        assert_eq!(
            board.text(),
            "transfer: data, 120 MiB of 340 MiB, 85 MiB/s, 12 s left, 1 234 567 rows, public.orders"
        );
        // Behind, and still the one that knows what was read back.
        let mut receiver = report("web-2", TaskPhase::Data, 100, 340);
        receiver.task.rows_done = 1_000_000;
        receiver.task.verified_rows = 1;
        board.take(receiver);
        assert_eq!(
            board.text(),
            "transfer: data, 120 MiB of 340 MiB, 85 MiB/s, 12 s left, 1 234 567 rows, 1 row read back, \
             public.orders"
        );
    }

    #[test]
    fn an_estimate_that_was_too_low_never_shows_more_than_all() {
        let mut board = Board::default();
        board.take(report("web-1", TaskPhase::Data, 400, 340));
        assert_eq!(board.permille(), Some(1000));
        assert!(
            board.text().contains("400 MiB of 400 MiB"),
            "{}",
            board.text()
        );
    }

    #[test]
    fn a_new_step_starts_anew() {
        let mut board = Board::default();
        board.take(report("web-1", TaskPhase::Data, 340, 340));
        let mut next = report("web-2", TaskPhase::Prepare, 0, 0);
        next.step = "publish".to_owned();
        board.take(next);
        assert!(
            board.text().starts_with("publish: preparing"),
            "{}",
            board.text()
        );
    }
}
