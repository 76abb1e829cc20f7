-- What the guards of hosts have refused, as their agents told it.

create table guard_refusal (
    id bigint generated always as identity primary key,
    host text not null references host (name) on delete cascade,
    -- By the host's clock.
    at timestamptz not null,
    rule text not null,
    -- Name of the volume, or path of the folder; empty where it is about none.
    place text not null,
    -- "POST containers/create".
    call text not null,
    sentence text not null
);
-- What is told twice is stored once.
create unique index guard_refusal_once on guard_refusal (host, at, place, call);
create index guard_refusal_at on guard_refusal (at);
