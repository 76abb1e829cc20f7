-- What the data of each database service lie on, remembered; and findings with their codes and evidence.

create table data_store (
    id bigint generated always as identity primary key,
    host text not null references host (name) on delete cascade,
    -- "shop/db" of compose, else the instance's name.
    service text not null,
    instance text not null,
    traits jsonb not null,
    accepted jsonb not null,
    contents jsonb not null,
    lost jsonb not null,
    -- Other data in the place of the accepted ones.
    swapped jsonb,
    first_seen_at timestamptz not null,
    last_seen_at timestamptz not null,
    unique (host, service)
);

-- Outlives the service that it tells of.
create table data_store_event (
    id bigint generated always as identity primary key,
    data_store bigint not null,
    host text not null references host (name) on delete cascade,
    service text not null,
    instance text not null,
    at timestamptz not null,
    kind text not null check (kind in ('first-seen', 'changed', 'swapped', 'returned', 'accepted')),
    changes text[] not null,
    by_whom text not null,
    reason text not null,
    -- As it was from then on; unset when nothing was there any more.
    store jsonb
);
create index on data_store_event (data_store, id);
create index on data_store_event (host, id);

alter table finding add column code text not null default '';
alter table finding alter column code drop default;
alter table finding add column evidence jsonb not null default '[]';
alter table finding alter column evidence drop default;
