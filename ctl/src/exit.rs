//! Exit codes: what a script learns from `ctl` without reading a word.

/// Documented for operators in `docs/exit-codes.md`; a test holds the two together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    Ok = 0,
    Unexpected = 1,
    Usage = 2,
    NotFound = 3,
    Refused = 4,
    Unreachable = 5,
    Conflict = 6,
    JobFailed = 7,
    NotProven = 8,
    Stuck = 9,
    CouldNotCheck = 10,
    Cancelled = 11,
    Incomplete = 12,
    Interrupted = 130,
}

impl Exit {
    pub const ALL: [Self; 14] = [
        Self::Ok,
        Self::Unexpected,
        Self::Usage,
        Self::NotFound,
        Self::Refused,
        Self::Unreachable,
        Self::Conflict,
        Self::JobFailed,
        Self::NotProven,
        Self::Stuck,
        Self::CouldNotCheck,
        Self::Cancelled,
        Self::Incomplete,
        Self::Interrupted,
    ];

    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Its name in the docs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unexpected => "unexpected",
            Self::Usage => "usage",
            Self::NotFound => "not-found",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Conflict => "conflict",
            Self::JobFailed => "job-failed",
            Self::NotProven => "not-proven",
            Self::Stuck => "stuck",
            Self::CouldNotCheck => "could-not-check",
            Self::Cancelled => "cancelled",
            Self::Incomplete => "incomplete",
            Self::Interrupted => "interrupted",
        }
    }

    /// One sentence for operators.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "Done; a job has succeeded and what it claims is proven.",
            Self::Unexpected => "A defect, or an error of a kind that `ctl` does not know.",
            Self::Usage => {
                "The command line makes no sense, a token is malformed, the contexts file or a variable is not valid, or a confirmation is asked for that nobody can give (no terminal, no `--yes`)."
            }
            Self::NotFound => {
                "Something that was named does not exist: host, instance, volume, job, check, operator, context."
            }
            Self::Refused => {
                "Not logged in, certificate expired or revoked, role too low, token used, expired or unknown, or a contexts file that others can read."
            }
            Self::Unreachable => {
                "The controller (or the host it would have to ask) did not answer; nothing was started."
            }
            Self::Conflict => {
                "A precondition does not hold: preflight failed, name taken, job in another state, confirmation not typed. Nothing was changed."
            }
            Self::JobFailed => "The job failed, and everything it had done is undone.",
            Self::NotProven => {
                "The evidence speaks against it: proof not green, a check is suspicious, or the audit log does not verify."
            }
            Self::Stuck => "The undo of a job failed: a person must look (`ctl job show`).",
            Self::CouldNotCheck => {
                "A check could not run, so nothing is known; never counted as good."
            }
            Self::Cancelled => "The job was cancelled or undone by an operator.",
            Self::Incomplete => {
                "Done, and something was left for a person: rows in conflict, refused or not mergeable, which are listed."
            }
            Self::Interrupted => "Ctrl-C. A job that was watched goes on (`ctl job watch`).",
        }
    }

    /// Two results of one command: the one that an operator must hear about.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        match (self, other) {
            (Self::Ok, any) | (any, Self::Ok) => any,
            (Self::NotProven, _) | (_, Self::NotProven) => Self::NotProven,
            (first, _) => first,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn the_docs_say_the_same() {
        let docs = include_str!("../../docs/exit-codes.md");
        let (of_ctl, _) = docs
            .split_once("# Exit codes of `holdfast-controller`")
            .unwrap();
        let documented: Vec<&str> = of_ctl
            .lines()
            .filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit())
            .collect();
        let ours: Vec<String> = Exit::ALL
            .iter()
            .map(|exit| format!("| {} | {} | {} |", exit.code(), exit.name(), exit.meaning()))
            .collect();
        assert_eq!(documented, ours);
    }

    #[test]
    fn evidence_against_outranks_the_rest() {
        assert_eq!(Exit::Ok.worse(Exit::CouldNotCheck), Exit::CouldNotCheck);
        assert_eq!(Exit::CouldNotCheck.worse(Exit::NotProven), Exit::NotProven);
        assert_eq!(Exit::Ok.worse(Exit::Ok), Exit::Ok);
    }
}
