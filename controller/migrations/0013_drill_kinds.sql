-- Drills of a whole host: everything of it is brought back, or every byte of its repository is read.

alter table drill add column kind text not null default 'backup'
    check (kind in ('backup', 'rebuild', 'offsite'));
alter table drill alter column kind drop default;
-- Of one backup: which. Of the other kinds the host alone says what was drilled.
alter table drill alter column instance drop not null;
alter table drill alter column database drop not null;
alter table drill alter column backup drop not null;
alter table drill alter column taken_at drop not null;
-- Null: nothing is restored anywhere.
alter table drill alter column drilled_on drop not null;
alter table drill add constraint drill_of_one_backup check (
    case kind
        when 'backup' then num_nulls(instance, database, backup, taken_at, drilled_on) = 0
        when 'rebuild' then num_nonnulls(instance, database, backup, taken_at) = 0 and drilled_on is not null
        else num_nonnulls(instance, database, backup, taken_at, drilled_on) = 0
    end
);
-- incomplete: what has a backup is back, and something has none.
alter table drill drop constraint drill_verdict_check;
alter table drill add constraint drill_verdict_check
    check (verdict in ('proven', 'damaged', 'could-not-run', 'incomplete'));

create index drill_of_host on drill (host, kind, started_at desc);
