-- A restore that takes a database's place backs it up first.
alter table backup drop constraint backup_kind_check;
alter table backup add constraint backup_kind_check
    check (kind in ('full', 'schema-only', 'tables', 'volume', 'before-replace'));
