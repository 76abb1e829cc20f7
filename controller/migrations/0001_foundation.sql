-- What the catalog itself needs: who it is, and the log of who changed what.

-- One row: which installation this catalog belongs to.
create table installation (
    only_row boolean primary key default true check (only_row),
    id uuid not null default gen_random_uuid(),
    created_at timestamptz not null default now()
);
insert into installation default values;

-- An append-only chain: each hash covers its entry and the hash before it.
create table audit (
    sequence bigint primary key check (sequence > 0),
    at timestamptz not null,
    -- "operator/alice", "host/web-1", "10.0.0.7:51234" before it is known, "controller".
    actor text not null,
    action text not null,
    subject text not null,
    outcome text not null check (outcome in ('ok', 'refused')),
    detail text not null,
    -- 32 zero bytes in the first entry.
    previous_hash bytea not null check (length(previous_hash) = 32),
    hash bytea not null unique check (length(hash) = 32)
);

create function audit_is_append_only() returns trigger
language plpgsql as $$
begin
    raise exception 'the audit log is append-only: % refused', tg_op
        using errcode = 'insufficient_privilege';
end
$$;

create trigger audit_is_append_only
    before update or delete or truncate on audit
    for each statement execute function audit_is_append_only();
