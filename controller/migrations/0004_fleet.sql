-- Hosts, what their agents reported last, and instances that operators registered by address.

create table host (
    name text primary key,
    enrolled_at timestamptz not null
);

-- One row a host, replaced as reports come in: a controller that starts shows what was known last.
create table host_report (
    host text primary key references host (name) on delete cascade,
    last_seen_at timestamptz,
    agent_rss_bytes bigint not null,
    -- Unset before the first snapshot.
    reported_at timestamptz,
    -- What the agent said of itself and its machine when it connected.
    facts jsonb,
    -- Containers, volumes and instances.
    report jsonb not null
);

create table instance_registration (
    host text not null references host (name) on delete cascade,
    name text not null,
    engine text not null check (engine in ('postgres', 'mariadb', 'mysql')),
    address text not null,
    port integer not null check (port between 1 and 65535),
    user_name text not null,
    database text not null,
    tls_mode text not null check (tls_mode in ('disable', 'prefer', 'require')),
    registered_by text not null,
    registered_at timestamptz not null,
    primary key (host, name)
);
