-- Pruning: what each repository's last prune left to the next one, and when the schedule started one; which job
-- removed a backup.

-- By the schedule: one a day at most. A controller that dies before it has submitted the job costs that day.
alter table repository add column prune_started_at timestamptz;
-- The last one that went through.
alter table repository add column pruned_at timestamptz;
-- Files that it marked, or found marked: they go with a prune that comes a day later.
alter table repository add column marked_packs bigint not null default 0 check (marked_packs >= 0);

-- The job that removed it; unset for one that its own job withdrew.
alter table backup add column removed_by bigint;
