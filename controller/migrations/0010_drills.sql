-- Drills: backups that were restored into a throwaway server, and what was found there.

create table drill (
    id         bigint generated always as identity primary key,
    -- A job makes one drill: a step that runs again finds it.
    job        bigint not null unique references job (id),
    host       text not null,
    instance   text not null,
    database   text not null,
    backup     bigint not null references backup (id),
    taken_at   timestamptz not null,
    -- Where the throwaway server ran.
    drilled_on text not null,
    started_at timestamptz not null,
    -- Both null while it runs.
    ended_at   timestamptz,
    -- could-not-run: neither proven nor damaged.
    verdict    text check (verdict in ('proven', 'damaged', 'could-not-run')),
    -- The first rung that did not pass, and why.
    broken     text not null default '',
    reason     text not null default '',
    took_ms    bigint check (took_ms >= 0),
    rpo_ms     bigint check (rpo_ms >= 0),
    -- JSON with every rung. Text: what is signed is these bytes.
    report     text,
    check ((ended_at is null) = (verdict is null) and (verdict is null) = (report is null))
);

create index drill_of_database on drill (host, instance, database, started_at desc);
