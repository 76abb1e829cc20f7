-- Hosts, what their agents reported last, and instances that operators registered by address.

CREATE TABLE host (
    name        text PRIMARY KEY,
    enrolled_at timestamptz NOT NULL
);

-- One row a host, replaced as reports come in: a controller that starts shows what was known last.
CREATE TABLE host_report (
    host            text PRIMARY KEY REFERENCES host (name) ON DELETE CASCADE,
    last_seen_at    timestamptz NOT NULL,
    agent_rss_bytes bigint NOT NULL,
    -- Unset before the first snapshot.
    reported_at     timestamptz,
    -- What the agent said of itself and its machine when it connected.
    facts           jsonb,
    -- Containers, volumes and instances.
    report          jsonb NOT NULL
);

CREATE TABLE instance_registration (
    host          text NOT NULL REFERENCES host (name) ON DELETE CASCADE,
    name          text NOT NULL,
    engine        text NOT NULL CHECK (engine IN ('postgres', 'mariadb', 'mysql')),
    address       text NOT NULL,
    port          integer NOT NULL CHECK (port BETWEEN 1 AND 65535),
    user_name     text NOT NULL,
    database      text NOT NULL,
    tls_mode      text NOT NULL CHECK (tls_mode IN ('disable', 'prefer', 'require')),
    registered_by text NOT NULL,
    registered_at timestamptz NOT NULL,
    PRIMARY KEY (host, name)
);
