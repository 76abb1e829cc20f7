-- Who has which certificate, and the one-time tokens that lead to one.

create table certificate (
    -- Lower-case hex without leading zero bytes.
    serial text primary key,
    -- As the audit log names it: "host/web-1", "operator/alice".
    subject text not null,
    -- Operators only.
    role text check (role in ('viewer', 'operator', 'admin')),
    issued_at timestamptz not null,
    expires_at timestamptz not null,
    revoked_at timestamptz,
    revoked_by text,
    check ((role is not null) = (subject like 'operator/%')),
    check ((revoked_at is null) = (revoked_by is null))
);
create index certificate_subject on certificate (subject);

create table enrolment_token (
    -- SHA-256 of the secret; the secret itself is nowhere.
    digest bytea primary key check (length(digest) = 32),
    subject text not null,
    role text check (role in ('viewer', 'operator', 'admin')),
    created_at timestamptz not null,
    created_by text not null,
    expires_at timestamptz not null,
    used_at timestamptz,
    -- Address that it was used from.
    used_from text,
    -- A newer token took its place, or what it was for has been removed.
    withdrawn_at timestamptz,
    check ((role is not null) = (subject like 'operator/%')),
    check ((used_at is null) = (used_from is null))
);
create index enrolment_token_subject on enrolment_token (subject);
