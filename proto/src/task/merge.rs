//! Verbs that merge rows back and take them out again, and what they answer. Fields mean what `task.proto` says.

use serde::{Deserialize, Serialize};

use super::DatabaseTarget;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeRows {
    pub target: DatabaseTarget,
    pub kept: String,
    pub tables: Vec<String>,
    pub take: bool,
    pub dry_run: bool,
    pub ledger: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedRows {
    pub tables: Vec<MergedTable>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedTable {
    pub schema: String,
    pub name: String,
    pub only_there: u64,
    pub equal: u64,
    pub conflicts: u64,
    pub merged: u64,
    pub taken: u64,
    pub refused: u64,
    pub unmergeable: String,
    pub left_out_columns: Vec<String>,
    pub rows: Vec<MergeRow>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeRow {
    pub key: String,
    pub columns: Vec<String>,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmergeRows {
    pub target: DatabaseTarget,
    pub ledger: String,
    pub succeeded: bool,
    pub forget: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmergedRows {
    pub removed: u64,
    pub restored: u64,
    pub existed: bool,
}
