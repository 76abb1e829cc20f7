-- Backups that somebody deleted, and what compose projects looked like before they were deployed.

-- Who asked for its removal; the mark says since when. A pin takes it back.
alter table backup add column deleted_by text;
-- Also if it is the newest good or proven one.
alter table backup add column delete_forced boolean not null default false;

create table deployment (
    id          bigint generated always as identity primary key,
    project     text not null,
    -- Empty: on all hosts.
    host        text not null,
    recorded_at timestamptz not null,
    recorded_by text not null,
    -- Volumes, identities and user counts.
    picture     jsonb not null
);
create index deployment_latest on deployment (project, host, id desc);
