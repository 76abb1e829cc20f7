-- Where the backups of each host are kept.

create table repository (
    host       text primary key,
    -- As it was when it was made: a directory or a bucket, and the host's folder in it.
    location   text not null,
    -- The repository's key, sealed under the master key file of the state directory.
    sealed_key bytea not null,
    created_at timestamptz not null,
    -- Stored before the repository is made; set when it is there.
    ready_at   timestamptz
);

-- Hosts that may read another host's repository while this job runs: a restore, a drill.
create table repository_reader (
    job        bigint not null references job (id),
    host       text not null,
    repository text not null,
    primary key (job, host, repository)
);
