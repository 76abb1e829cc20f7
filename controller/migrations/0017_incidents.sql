-- Incidents: findings that belong together, what people said and did about them, and how it ended.

create table incident (
    id bigint generated always as identity primary key,
    -- What its findings are about: "service 12", "instance web-1/rds", "host web-1", "backups web-1", "controller".
    about text not null,
    -- Of the finding that tells most; kept, because findings go on.
    code text not null,
    kind text not null,
    severity text not null check (severity in ('info', 'warning', 'critical')),
    subject text not null,
    title text not null,
    advice text not null,
    opened_at timestamptz not null,
    -- The operator who opened it; empty: a finding did.
    opened_by text not null,
    assigned_to text not null default '',
    -- When the last of its findings was over.
    resolved_at timestamptz,
    closed_at timestamptz,
    -- Empty while it is open, and of one that closed by itself.
    closed_by text not null default '',
    cause text not null default ''
);
-- Two controllers cannot both open one.
create unique index incident_of_about on incident (about) where closed_at is null;

create table incident_event (
    id bigint generated always as identity primary key,
    incident bigint not null references incident (id) on delete cascade,
    at timestamptz not null,
    kind text not null check (kind in ('opened', 'resolved', 'reopened', 'assigned', 'note', 'closed')),
    -- Empty: nobody, it came so.
    by_whom text not null,
    text text not null
);
create index incident_event_of on incident_event (incident, id);

alter table finding add column incident bigint references incident (id) on delete set null;
create index finding_of_incident on finding (incident) where incident is not null;
