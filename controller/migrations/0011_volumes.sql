-- A backup of a volume is of no engine.
alter table backup alter column engine drop not null;
alter table backup add constraint backup_engine_unless_volume check ((engine is null) = (kind = 'volume'));
