//! Tasks, their results and failures, from and to the wire.

use super::{choices, enums, messages};
use crate::task::{
    AssertionOutcome, BackUpDatabase, BackUpVolume, BackedUpDatabase, BackedUpVolume, Collation,
    DataEvidence, DataTriage, DataVerdict, DatabaseFacts, DatabaseGrant, DatabaseProperties,
    DatabaseSetting, DatabaseTarget, DescribeDatabase, DescribeVolume, DropDatabase, DropRoles,
    DroppedDatabase, DroppedRoles, ExamineDatabase, Examined, ExaminedDatabase, Extension,
    FailureKind, HeldContainers, HoldContainers, MeasureVolume, MeasuredVolume, MergeRow,
    MergeRows, MergedRows, MergedTable, ProbeInstance, ProbedInstance, PublishDatabase,
    PublishedDatabase, ReceiveImage, ReceivedImage, ReleaseContainers, ReleasedContainers,
    RemoveSandbox, RemoveVolume, RemovedSandbox, RemovedVolume, RepositoryRef, RestoreImage,
    RestoreVolume, RestoredImage, RestoredVolume, Role, RoleLeft, RunCheck, SandboxLimits,
    Selection, SendImage, SentImage, StageDatabase, StagedDatabase, StartSandbox, StartedSandbox,
    SwapVolume, SwappedVolume, TableName, TaskFailure, TaskPhase, TaskProgress, TaskResult,
    TaskSpec, TriageData, TriagedData, UnmergeRows, UnmergedRows, UnpublishDatabase,
    UnpublishedDatabase, VolumeFacts, VolumeImage, VolumeUser,
};

messages! {
    DatabaseTarget { instance, database }
    Selection { schema_only, tables, exclude_tables, exclude_table_data }
    DescribeDatabase { target, as_source, selection }
    DatabaseFacts {
        system_identifier, server_version, version_num, in_recovery, is_superuser, exists, owner,
        encoding, collate, ctype, locale_provider, icu_locale, size_bytes, disk_free_bytes,
        extensions, roles, tablespaces, databases, locales, table_count, unmatched_patterns, tools,
        tools_error, sessions, properties, cpus, unreadable, engine, warnings, obstacles, collations,
        image, image_digest, preload_libraries,
    }
    Collation { name, own, provider, locale, used_by }
    Extension { name, versions }
    Role {
        name, login, inherit, create_role, create_db, superuser, replication, bypass_rls, member_of,
        default_roles,
    }
    DatabaseProperties { comment, settings, grants, connection_limit }
    DatabaseSetting { role, name, value }
    DatabaseGrant { grantee, privilege, grantable }
    StageDatabase { staging, owner, encoding, collate, ctype, locale_provider, icu_locale, roles, job }
    StagedDatabase { created_roles }
    SendImage {
        source, selection, peer_host, peer_addresses, grant, jobs, bandwidth, target_version_num,
        target_extensions, no_tablespaces,
    }
    SentImage { manifest, path, resent_parts }
    ReceiveImage { staging, peer_host, grant, jobs, proof, properties }
    ReceivedImage { relations, sequences, indexes, constraints, schema_hash, notices }
    RepositoryRef { host, job }
    BackUpDatabase { source, selection, repository, jobs, bandwidth, tags }
    BackedUpDatabase { manifest, snapshot, added_bytes }
    RestoreImage { staging, repository, snapshot, jobs, properties, no_tablespaces, tables, disk_limit_bytes }
    TableName { schema, name }
    RestoredImage { manifest, received, fetch_time, load_time, index_time }
    StartSandbox { job, image, image_digest, engine, preload_libraries, limits, look_only, part, servers }
    SandboxLimits { cpu_millis, memory_bytes }
    StartedSandbox { instance, image_id, limits }
    RemoveSandbox { job }
    RemovedSandbox { existed }
    ExamineDatabase { target, assertions, timeout }
    ExaminedDatabase {
        indexes, constraints, checked_indexes, amcheck_error, checked_constraints, broken, unknown,
        assertions,
    }
    Examined { name, reason }
    AssertionOutcome { statement, holds, reason }
    MergeRows { target, kept, tables, take, dry_run, ledger }
    MergedRows { tables }
    MergedTable {
        schema, name, only_there, equal, conflicts, merged, taken, refused, unmergeable, left_out_columns,
        rows,
    }
    MergeRow { key, columns, reason }
    UnmergeRows { target, ledger, succeeded, forget }
    UnmergedRows { removed, restored, existed }
    PublishDatabase { instance, staging, name, keep_as, job }
    PublishedDatabase { kept_as, ended_sessions }
    UnpublishDatabase { instance, name, kept_as, set_aside_as, staging, job }
    UnpublishedDatabase { restored, ended_sessions }
    DropDatabase { target }
    DroppedDatabase { existed }
    DropRoles { instance, job, roles }
    DroppedRoles { gone, left }
    RoleLeft { role, reason }
    RunCheck { target, count_sql, newest_sql, timeout }
    MeasureVolume { volume }
    MeasuredVolume { bytes, files }
    DescribeVolume { volume }
    VolumeFacts { exists, driver, out_of_reach, users, databases, disk_free_bytes, made_by }
    VolumeUser { container, running, writable }
    HoldContainers { volume, job, stop, start }
    HeldContainers { stopped, killed }
    ReleaseContainers { job }
    ReleasedContainers { started }
    BackUpVolume { volume, repository, tags }
    BackedUpVolume { image, snapshot, added_bytes }
    VolumeImage {
        format, taken_at, volume, driver, labels, files, folders, others, bytes, fingerprint, left_out,
        databases,
    }
    RestoreVolume { volume, job, repository, snapshot, throwaway }
    RestoredVolume { image, fingerprint, root }
    SwapVolume { volume, other, root, back }
    SwappedVolume { changed }
    RemoveVolume { volume, job }
    RemovedVolume { existed }
    TriageData { instance, volume, shown }
    TriagedData { directories }
    DataTriage { path, engine, version, system_identifier, running, verdict, evidence, runbook, next }
    DataEvidence { code, verdict, what }
    ProbeInstance { instance }
    ProbedInstance { up, reached_by, down_reason }
    TaskProgress {
        phase, bytes_done, bytes_total, rows_done, items_done, items_total, current, verified_rows,
        path,
    }
    TaskFailure { kind, message, advice, retryable }
}

enums! {
    TaskPhase { Prepare, Schema, Data, Indexes, Constraints, ReadBack, Analyze }
    DataVerdict { Sound, NeedsRecovery, Unknown, IndexBroken, WalDamaged, DataLost }
    FailureKind { Invalid, Conflict, Unavailable, Exhausted, DataMismatch, Cancelled, Refused, Internal }
}

choices! {
    TaskSpec is task_spec::Verb as verb {
        DescribeDatabase, StageDatabase, SendImage, ReceiveImage, RunCheck, PublishDatabase,
        UnpublishDatabase, DropDatabase, MeasureVolume, ProbeInstance, DropRoles, BackUpDatabase,
        RestoreImage, StartSandbox, RemoveSandbox, ExamineDatabase, MergeRows, UnmergeRows,
        DescribeVolume, HoldContainers, ReleaseContainers, BackUpVolume, RestoreVolume, SwapVolume, RemoveVolume,
        TriageData, AskGuard,
    }
    TaskResult is task_result::Result as result {
        DatabaseFacts, StagedDatabase, SentImage, ReceivedImage, CheckOutcome, PublishedDatabase,
        UnpublishedDatabase, DroppedDatabase, MeasuredVolume, ProbedInstance, DroppedRoles,
        BackedUpDatabase, RestoredImage, StartedSandbox, RemovedSandbox, ExaminedDatabase,
        MergedRows, UnmergedRows,
        VolumeFacts, HeldContainers, ReleasedContainers, BackedUpVolume, RestoredVolume, SwappedVolume, RemovedVolume,
        TriagedData, GuardStatus,
    }
}
