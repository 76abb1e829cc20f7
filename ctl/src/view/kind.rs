//! What the last words say of each kind of job.

/// The words of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    /// What it makes: "copy".
    pub noun: &'static str,
    /// What it has done to the data: "copied".
    pub done: &'static str,
    /// Of a dry run that found nothing in the way.
    pub possible: &'static str,
    /// Of a success without a proof.
    pub without_proof: &'static str,
    /// Of what an operator took back.
    pub undone: &'static str,
}

const REPLACED_IS_BACK: &str = "undone; what it had replaced is back";
const WITHOUT_DATA: &str = "succeeded; it carried no data";

/// By the kind's name; of one that a later version knows, those of a copy.
#[must_use]
pub fn words(kind: &str) -> Words {
    match kind {
        "restore-database" => Words {
            noun: "restored database",
            done: "restored",
            possible: "this backup can be restored",
            without_proof: WITHOUT_DATA,
            undone: REPLACED_IS_BACK,
        },
        "restore-volume" => Words {
            noun: "restored volume",
            done: "restored",
            possible: "this backup can be restored",
            without_proof: "restored; every file of it was read back and is as it was",
            undone: "undone; what it had replaced is back, or what it made goes in time",
        },
        "back-up-database" | "back-up-volume" => Words {
            noun: "backup",
            done: "backed up",
            possible: "this backup can be made",
            without_proof: "backed up; `ctl backup list` shows it",
            undone: REPLACED_IS_BACK,
        },
        "prune-repository" => Words {
            noun: "prune",
            done: "pruned",
            possible: "it can be pruned",
            without_proof: "pruned",
            undone: REPLACED_IS_BACK,
        },
        "merge-rows" => Words {
            noun: "merged rows",
            done: "merged",
            possible: "these rows can be merged",
            without_proof: "merged",
            undone: "undone; the merged rows are out again",
        },
        "drill-backup" | "drill-volume" => Words {
            noun: "drill",
            done: "drilled",
            possible: "this backup can be drilled",
            without_proof: "proven by a drill; `ctl drill list` shows it",
            undone: REPLACED_IS_BACK,
        },
        "read-repository" => Words {
            noun: "drill",
            done: "read",
            possible: "this repository can be read",
            without_proof: "read whole; `ctl drill list` shows what was found",
            undone: REPLACED_IS_BACK,
        },
        "rebuild-host" => Words {
            noun: "drill",
            done: "rebuilt",
            possible: "this host can be rebuilt",
            without_proof: "rebuilt and removed again; `ctl drill list` shows what was found",
            undone: REPLACED_IS_BACK,
        },
        _ => Words {
            noun: "copy",
            done: "copied",
            possible: "this copy can be made",
            without_proof: WITHOUT_DATA,
            undone: REPLACED_IS_BACK,
        },
    }
}
