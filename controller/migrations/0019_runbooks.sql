-- Runbooks that operators go through, and the steps that they have begun.

create table runbook_run (
    id bigint generated always as identity primary key,
    incident bigint not null references incident (id) on delete cascade,
    runbook text not null,
    -- How things were when it began.
    start jsonb not null,
    begun_at timestamptz not null,
    begun_by text not null,
    -- With its incident.
    ended_at timestamptz
);
create unique index runbook_run_open on runbook_run (incident) where ended_at is null;

create table runbook_step (
    id bigint generated always as identity primary key,
    run bigint not null references runbook_run (id) on delete cascade,
    name text not null,
    -- From 1. Two operators cannot both begin one.
    attempt integer not null,
    at timestamptz not null,
    by_whom text not null,
    -- Why it was left out; empty: it was not.
    left_out text not null,
    -- Null: done by hand, or at once; or its job was not made.
    job bigint references job (id),
    unique (run, name, attempt)
);
