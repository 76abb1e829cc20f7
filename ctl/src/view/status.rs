//! The whole fleet on one screen, a verdict first.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{
    Time,
    finding::{self, Finding, Severity},
    host::{Host, HostList, section},
    instance::{self, Instance},
    job::{Job, JobList, JobState},
};
use crate::output::{Page, View, paint::Tone, units};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    pub summary: Summary,
    pub hosts: Vec<Host>,
    pub instances: Vec<Instance>,
    pub findings: Vec<Finding>,
    pub jobs: Vec<Job>,
    /// The controller's clock.
    pub now: Option<Time>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub hosts: u64,
    pub hosts_silent: u64,
    pub instances: u64,
    pub instances_down: u64,
    pub containers: u64,
    pub volumes: u64,
    pub databases: u64,
    /// Databases that no policy covers.
    pub unprotected: u64,
    /// Databases and volumes that a policy leaves unprotected, with a reason.
    pub unprotected_by_choice: u64,
    /// Volumes that nobody sees to.
    pub volumes_without_policy: u64,
    pub findings: u64,
    pub findings_critical: u64,
    /// Those that something is found of.
    pub incidents: u64,
    pub jobs_active: u64,
    pub jobs_stuck: u64,
}

/// How many of what is only counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub containers: u64,
    pub volumes: u64,
    pub databases: u64,
    pub unprotected: u64,
    pub unprotected_by_choice: u64,
    pub volumes_without_policy: u64,
}

impl Summary {
    #[must_use]
    pub fn of(
        hosts: &[Host],
        instances: &[Instance],
        findings: &[Finding],
        jobs: &[Job],
        counted: Counted,
    ) -> Self {
        let stuck = count(jobs, |job| job.state == JobState::Stuck);
        Self {
            hosts: hosts.len() as u64,
            hosts_silent: count(hosts, |host| !host.connected),
            instances: instances.len() as u64,
            instances_down: count(instances, |instance| !instance.up),
            containers: counted.containers,
            volumes: counted.volumes,
            databases: counted.databases,
            unprotected: counted.unprotected,
            unprotected_by_choice: counted.unprotected_by_choice,
            volumes_without_policy: counted.volumes_without_policy,
            findings: count(findings, |finding| finding.closed_at.is_none()),
            findings_critical: count(findings, |finding| {
                finding.closed_at.is_none() && finding.severity == Severity::Critical
            }),
            incidents: incidents(findings),
            jobs_active: jobs.len() as u64 - stuck,
            jobs_stuck: stuck,
        }
    }

    /// "3 hosts, 1 silent · 4 instances · 2 findings (1 critical)".
    #[must_use]
    pub fn verdict(&self) -> (Tone, String) {
        let with = |count: u64, one: &str, bad: u64, word: &str| match bad {
            0 => units::plural(count, one),
            bad => format!(
                "{}, {} {word}",
                units::plural(count, one),
                units::count(bad)
            ),
        };
        let mut parts = vec![
            with(self.hosts, "host", self.hosts_silent, "silent"),
            with(self.instances, "instance", self.instances_down, "down"),
            with(self.databases, "database", self.unprotected, "UNPROTECTED"),
        ];
        if self.unprotected_by_choice > 0 {
            let number = units::count(self.unprotected_by_choice);
            parts.push(format!("{number} unprotected by choice"));
        }
        if self.volumes_without_policy > 0 {
            let volumes = units::plural(self.volumes_without_policy, "volume");
            parts.push(format!("{volumes} without a policy"));
        }
        parts.push(match (self.findings, self.findings_critical) {
            (0, _) => "no findings".to_owned(),
            (all, 0) => units::plural(all, "finding"),
            (all, critical) => format!("{} ({critical} critical)", units::plural(all, "finding")),
        });
        if self.incidents > 0 {
            parts.push(units::plural(self.incidents, "incident"));
        }
        if self.jobs_active > 0 {
            parts.push(format!(
                "{} running",
                units::plural(self.jobs_active, "job")
            ));
        }
        if self.jobs_stuck > 0 {
            parts.push(format!("{} STUCK", units::plural(self.jobs_stuck, "job")));
        }
        let bad = self.findings_critical
            + self.hosts_silent
            + self.jobs_stuck
            + self.instances_down
            + self.unprotected;
        let tone = match (bad, self.findings) {
            (1.., _) => Tone::Bad,
            (0, 1..) => Tone::Warn,
            (0, 0) => Tone::Good,
        };
        (tone, parts.join(" · "))
    }
}

fn incidents(findings: &[Finding]) -> u64 {
    let open = findings
        .iter()
        .filter(|finding| finding.closed_at.is_none());
    let of: BTreeSet<_> = open.filter_map(|finding| finding.incident).collect();
    of.len() as u64
}

impl View for Status {
    fn text(&self, page: &Page) -> String {
        // Ages are told by the controller's clock: an operator's own may be wrong.
        let page = &Page {
            now: self.now.unwrap_or(page.now),
            ..*page
        };
        let (tone, verdict) = self.summary.verdict();
        let mut out = format!("{}\n", page.paint.tone(tone, &verdict));
        let hosts = HostList {
            hosts: self.hosts.clone(),
        };
        section(&mut out, page, "HOSTS", hosts.text(page));
        if !self.instances.is_empty() {
            section(
                &mut out,
                page,
                "INSTANCES",
                instance::table(&self.instances, page),
            );
        }
        if !self.findings.is_empty() {
            section(
                &mut out,
                page,
                "FINDINGS",
                finding::table(&self.findings, page),
            );
        }
        if !self.jobs.is_empty() {
            let jobs = JobList {
                jobs: self.jobs.clone(),
            };
            section(&mut out, page, "JOBS", jobs.text(page));
        }
        out
    }
}

fn count<T>(all: &[T], is: impl Fn(&T) -> bool) -> u64 {
    all.iter().filter(|one| is(one)).count() as u64
}

#[cfg(test)]
mod tests {
    use super::{Counted, Summary};
    use crate::{
        output::{View as _, paint::Tone, testing::page},
        view::samples,
    };

    #[test]
    fn the_first_line_is_the_verdict() {
        let text = samples::status().text(&page());
        let mut lines = text.lines();
        assert_eq!(
            lines.next(),
            Some(
                "3 hosts, 2 silent · 3 instances, 1 down · 1 database · 2 findings (1 critical) · 1 job running"
            )
        );
        let heads: Vec<&str> = text
            .lines()
            .filter(|line| ["HOSTS", "INSTANCES", "FINDINGS", "JOBS"].contains(line))
            .collect();
        assert_eq!(heads, ["HOSTS", "INSTANCES", "FINDINGS", "JOBS"]);
    }

    #[test]
    fn all_well_is_short_and_green() {
        let none = Counted {
            containers: 0,
            volumes: 0,
            databases: 3,
            unprotected: 0,
            unprotected_by_choice: 0,
            volumes_without_policy: 0,
        };
        let mut host = samples::host_list().hosts[0].clone();
        host.connected = true;
        let instance = samples::instance_list().instances[0].clone();
        let summary = Summary::of(&[host], &[instance], &[], &[], none);
        assert_eq!(
            summary.verdict(),
            (
                Tone::Good,
                "1 host · 1 instance · 3 databases · no findings".to_owned()
            )
        );
    }

    #[test]
    fn what_is_not_protected_stands_on_the_first_line() {
        let counted = Counted {
            containers: 0,
            volumes: 0,
            databases: 5,
            unprotected: 2,
            unprotected_by_choice: 1,
            volumes_without_policy: 3,
        };
        let (tone, text) = Summary::of(&[], &[], &[], &[], counted).verdict();
        assert_eq!(tone, Tone::Bad);
        assert_eq!(
            text,
            "0 hosts · 0 instances · 5 databases, 2 UNPROTECTED · 1 unprotected by choice · 3 volumes without a policy · no findings"
        );
    }

    #[test]
    fn a_stuck_job_is_shouted() {
        let mut job = samples::job_list().jobs[0].clone();
        job.state = super::JobState::Stuck;
        let none = Counted {
            containers: 0,
            volumes: 0,
            databases: 0,
            unprotected: 0,
            unprotected_by_choice: 0,
            volumes_without_policy: 0,
        };
        let (tone, text) = Summary::of(&[], &[], &[], &[job], none).verdict();
        assert_eq!(tone, Tone::Bad);
        assert!(text.ends_with("· 1 job STUCK"), "{text}");
    }
}
