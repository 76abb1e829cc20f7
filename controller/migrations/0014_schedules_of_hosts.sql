-- Rebuilds and off-site drills by schedule: of a host as a whole, without instance and database.

alter table schedule_run drop constraint schedule_run_work_check;
alter table schedule_run add constraint schedule_run_work_check check (
    case
        when work in ('backup', 'drill') then instance <> '' and database <> ''
        else work in ('rebuild', 'offsite') and instance = '' and database = ''
    end
);
