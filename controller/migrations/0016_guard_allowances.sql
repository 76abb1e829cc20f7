-- What operators have let pass at the guards of hosts.

create table guard_allowance (
    host text not null references host (name) on delete cascade,
    -- Name of the volume, or path of the folder.
    place text not null,
    until timestamptz not null,
    reason text not null,
    given_by text not null,
    given_at timestamptz not null,
    primary key (host, place)
);
