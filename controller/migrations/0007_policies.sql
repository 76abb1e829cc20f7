-- Policies, the databases that they cover, what was started by schedule, and how long recoveries took.

-- Every set of policies that was applied; the newest one holds.
create table policy_set (
    version    bigint primary key check (version > 0),
    -- fleet.yaml as JSON.
    document   jsonb not null,
    applied_by text not null,
    applied_at timestamptz not null
);

-- Databases that hosts have reported, also while their server is down.
create table known_database (
    host          text not null references host (name) on delete cascade,
    instance      text not null,
    database      text not null,
    first_seen_at timestamptz not null,
    -- What policies select by: engine, project, labels.
    subject       jsonb not null,
    -- Its host says that it is no more.
    gone_at       timestamptz,
    primary key (host, instance, database)
);

create table schedule_run (
    id         bigint generated always as identity primary key,
    host       text not null,
    instance   text not null,
    database   text not null,
    work       text not null check (work in ('backup', 'drill')),
    -- The moment that it was due. Two controllers cannot both start one.
    slot       timestamptz not null,
    started_at timestamptz not null,
    -- Null until it was submitted; "schedule/<id>" stands in the job as who asked for it.
    job        bigint references job (id),
    -- Why it could not be submitted.
    error      text not null default '',
    unique (host, instance, database, work, slot)
);
create index schedule_run_latest on schedule_run (host, instance, database, work, started_at desc);

-- What a recovery, real or in a drill, took.
create table recovery_measurement (
    id         bigint generated always as identity primary key,
    host       text not null,
    instance   text not null,
    database   text not null,
    scenario   text not null check (scenario in ('restore', 'drill', 'rebuild')),
    at         timestamptz not null,
    passed     boolean not null,
    backup     bigint references backup (id),
    job        bigint references job (id),
    -- From the request to a database that is proven.
    took_ms    bigint not null check (took_ms >= 0),
    -- Parts of it: reading the repository, storing rows, indexes, checks.
    fetch_ms   bigint not null default 0,
    restore_ms bigint not null default 0,
    index_ms   bigint not null default 0,
    check_ms   bigint not null default 0,
    -- Age of the backup at that moment.
    rpo_ms     bigint
);
create index recovery_measurement_latest
    on recovery_measurement (host, instance, database, scenario, at desc);
-- A step that runs again measures once.
create unique index recovery_measurement_of_job
    on recovery_measurement (job, host, instance, database, scenario) where job is not null;
