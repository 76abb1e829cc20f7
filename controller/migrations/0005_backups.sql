-- Backups: one row for each image that a repository holds or held.

create table backup (
    id            bigint generated always as identity primary key,
    host          text not null,
    instance      text not null,
    database      text not null,
    engine        text not null check (engine in ('postgres', 'mariadb', 'mysql')),
    -- What of it: everything, its schema alone, or some of its tables. Retention counts each kind for itself.
    kind          text not null check (kind in ('full', 'schema-only', 'tables', 'volume')),
    -- stored -> checked (the repository's data were read) -> proven (restored by a drill), or damaged.
    -- expired: retention, or somebody, has removed it.
    state         text not null check (state in ('stored', 'checked', 'proven', 'damaged', 'expired')),
    pinned        boolean not null default false,
    -- The moment that the image shows.
    taken_at      timestamptz not null,
    stored_at     timestamptz not null,
    -- Of the last drill that proved it.
    proven_at     timestamptz,
    logical_bytes bigint not null check (logical_bytes >= 0),
    -- What this backup added to the repository.
    stored_bytes  bigint not null check (stored_bytes >= 0),
    -- The repository's own name of it. A write that was interrupted has none, and no row.
    snapshot_id   text not null,
    manifest      jsonb not null,
    -- The job that made it.
    job           bigint references job (id),
    -- Retention does not want it any more since; it goes when the time of grace is over.
    marked_at     timestamptz,
    removed_at    timestamptz,
    check ((state = 'expired') = (removed_at is not null)),
    unique (host, snapshot_id)
);

create index backup_of_database on backup (host, instance, database, taken_at desc) where removed_at is null;
create index backup_by_time on backup (taken_at desc);
-- One job makes one backup of a database: a step that is done again finds it.
create unique index backup_of_job on backup (job, host, instance, database) where job is not null;
