-- Jobs (their events, leases and locks), user-count checks, and findings.

create table job (
    -- From 1: job 0 stands for tasks that belong to none.
    id                  bigint generated always as identity primary key,
    kind                text not null,
    spec                jsonb not null,
    title               text not null,
    requested_by        text not null,
    traceparent         text not null default '',
    created_at          timestamptz not null,
    deadline            timestamptz,
    -- Who works on it. The epoch only grows: who holds an older one can write nothing.
    lease_owner         text,
    lease_epoch         bigint not null default 0,
    lease_until         timestamptz,
    -- Nobody needs to look at it before (the pause before a retry).
    not_before          timestamptz,
    -- Wishes of operators; the lease's holder turns them into events.
    cancel_requested_by text,
    undo_requested_by   text,
    -- Derived from the events with each append, for listing and claiming. The events are the truth.
    state               text not null check (state in ('waiting', 'running', 'undoing',
                            'succeeded', 'failed', 'cancelled', 'undone', 'stuck')),
    summary             jsonb not null,
    ended_at            timestamptz,
    sweep_at            timestamptz,
    -- The lock it cannot have yet, and who has it.
    waits_for           text not null default ''
);

create index job_to_claim on job (id)
    where ended_at is null or undo_requested_by is not null or sweep_at is not null;

-- What happened to a job. The position of a job is a replay of these rows and of nothing else.
create table job_event (
    job     bigint not null references job (id),
    seq     bigint not null check (seq > 0),
    at      timestamptz not null,
    -- Of the lease that wrote it; 0: the submission.
    epoch   bigint not null,
    payload jsonb not null,
    primary key (job, seq)
);

create function job_event_is_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'job events are append-only';
end
$$;

create trigger job_event_append_only before update or delete on job_event
    for each row execute function job_event_is_append_only();
create trigger job_event_no_truncate before truncate on job_event
    for each statement execute function job_event_is_append_only();

-- Resources that a job wants (granted_at null) or holds. A job gets all of its locks or none.
create table resource_lock (
    job        bigint not null references job (id),
    -- "database:web-1/shop-db/shop", "instance:web-1/shop-db", "volume:web-1/data".
    resource   text not null,
    exclusive  boolean not null,
    wanted_at  timestamptz not null,
    granted_at timestamptz,
    primary key (job, resource)
);
create index resource_lock_resource on resource_lock (resource);

-- One-time secrets of running transfers: a controller that comes back hands out the same one.
create table transfer_grant (
    job     bigint not null references job (id),
    attempt bigint not null,
    secret  bytea not null,
    primary key (job, attempt)
);

-- User-count checks.
create table database_check (
    id               bigint generated always as identity primary key,
    host             text not null,
    instance         text not null,
    database         text not null,
    name             text not null,
    count_sql        text not null,
    newest_sql       text not null default '',
    min_count        bigint,
    max_count        bigint,
    max_drop_percent double precision,
    max_age_ms       bigint,
    every_ms         bigint not null check (every_ms > 0),
    timeout_ms       bigint not null check (timeout_ms > 0),
    set_by           text not null,
    set_at           timestamptz not null,
    unique (host, instance, database, name)
);

create table check_run (
    id       bigint generated always as identity primary key,
    check_id bigint not null references database_check (id) on delete cascade,
    at       timestamptz not null,
    count    bigint,
    newest   timestamptz,
    error    text not null default '',
    verdict  text not null check (verdict in ('ok', 'suspicious', 'could-not-run')),
    reasons  text[] not null default '{}'
);
create index check_run_latest on check_run (check_id, id desc);
create index check_run_last_ok on check_run (check_id, id desc) where verdict = 'ok';
create index check_run_age on check_run (at);

-- What detectors saw. One open row for each kind and key.
create table finding (
    id        bigint generated always as identity primary key,
    kind      text not null,
    key       text not null,
    severity  text not null check (severity in ('info', 'warning', 'critical')),
    subject   text not null,
    message   text not null,
    advice    text not null default '',
    opened_at timestamptz not null,
    closed_at timestamptz
);
create unique index finding_open on finding (kind, key) where closed_at is null;
create index finding_closed on finding (closed_at) where closed_at is not null;
