-- Every kind of object that a copy must carry, with names as nasty as PostgreSQL allows.
-- Run by psql as a superuser in an empty UTF8 database; works on PostgreSQL 15 and newer.
\set ON_ERROR_STOP on
\set QUIET on
set client_min_messages = warning;

-- Roles ------------------------------------------------------------------------------------------
do $$ begin
  if not exists (select from pg_roles where rolname = 'every owner') then create role "every owner"; end if;
  if not exists (select from pg_roles where rolname = 'every "reader"') then create role "every ""reader""" login; end if;
  if not exists (select from pg_roles where rolname = 'every.team') then create role "every.team"; end if;
end $$;
grant "every.team" to "every ""reader""";

-- Schemas, extensions ------------------------------------------------------------------------------
create schema "Ünïcode schema";
create schema "a.b";
create schema app authorization "every owner";
comment on schema app is 'It''s the application''s.';
create extension citext schema public;
create extension hstore schema public;
create extension btree_gist schema public;
create extension pg_trgm schema public;
comment on extension hstore is 'said of an extension';

-- Types ---------------------------------------------------------------------------------------------
create type app.mood as enum ('sad', 'so "so"', 'happy''s', 'ünïcode');
create type app.address as (street text, "house number" int, tags text[]);
create domain app.percent as numeric(5,2) default 0 check (value between 0 and 100) not null;
create domain app.moods as app.mood[] constraint "at least one" check (cardinality(value) > 0);
create type app.money_range as range (subtype = numeric, multirange_type_name = app.money_multirange);
create collation app."nocase und" (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
create collation app.cposix (lc_collate = 'C', lc_ctype = 'C');
comment on type app.mood is 'how one feels';
alter type app.mood owner to "every owner";

-- Functions, procedures, aggregates, operators, casts -----------------------------------------------
create function app.touch() returns trigger language plpgsql as $$
begin new.touched := timestamp '2001-02-03 04:05:06'; return new; end $$;
create function app.double(i int) returns int language sql immutable strict parallel safe as 'select i * 2';
create function app.atomic(i int) returns int language sql begin atomic select i + 1; end;
create procedure app.nothing(inout x int) language plpgsql security definer set search_path = app, pg_temp as 'begin x := x + 1; end';
create aggregate app.product (numeric) (sfunc = numeric_mul, stype = numeric, initcond = '1');
create function app.mood_of(text) returns app.mood language sql immutable as 'select $1::app.mood';
create cast (text as app.mood) with function app.mood_of(text) as assignment;
create function app.near(int, int) returns boolean language sql immutable as 'select abs($1 - $2) < 10';
create operator app.~~~ (leftarg = int, rightarg = int, function = app.near, commutator = operator(app.~~~));
revoke execute on function app.double(int) from public;
grant execute on function app.double(int) to "every ""reader""" with grant option;

-- Tables of every kind ------------------------------------------------------------------------------
create table app.users (
  id        bigint generated always as identity (start 1000 increment 7) primary key,
  email     citext not null unique,
  name      text collate app."nocase und" not null default 'nobody',
  mood      app.mood not null default 'happy''s',
  moods     app.moods,
  home      app.address,
  share     app.percent,
  tags      text[] not null default '{}',
  extra     hstore,
  profile   jsonb,
  raw       json,
  secret    bytea,
  spent     app.money_range,
  fees      app.money_multirange,
  price     money,
  at        timestamptz default '2020-01-01 00:00:00+00',
  for_how   interval,
  ip        inet, net cidr, mac macaddr, mac8 macaddr8,
  place     point, area polygon, ring circle,
  bits      bit(5), more_bits bit varying,
  u         uuid,
  doc       tsvector,
  q         tsquery,
  x         xml,
  f4        float4, f8 float8, n numeric,
  klass     regclass,
  c         "char", fixed char(7), vc varchar(20),
  path      jsonpath,
  lsn       pg_lsn,
  touched   timestamp,
  full_text text generated always as (name || ' <' || email::text || '>') stored
) with (fillfactor = 80, autovacuum_enabled = false);
alter table app.users alter column name set statistics 500, alter column raw set storage external,
  alter column profile set compression pglz, alter column name set (n_distinct = -0.5);
alter table app.users add constraint "mood is known" check (mood is not null) no inherit;
alter table app.users add constraint "not checked" check (id > 0) not valid;
comment on table app.users is E'a table\nwith lines';
comment on column app.users.email is '"mail"';
comment on constraint "mood is known" on app.users is 'said of a constraint';
alter table app.users owner to "every owner";

insert into app.users (email, name, mood, moods, home, share, tags, extra, profile, raw, secret, spent, fees, price, for_how,
  ip, net, mac, mac8, place, area, ring, bits, more_bits, u, doc, q, x, f4, f8, n, klass, c, fixed, vc, path, lsn)
select 'u' || i || '@Example.com', case when i % 10 = 0 then E'tab\tnew\nline \\ back' else 'User ' || i end,
  (enum_range(null::app.mood))[1 + i % 4], array['sad', 'ünïcode']::app.mood[],
  row('Street ' || i, i, array['a', null, 'c"d,'])::app.address, i % 100, array['t' || i, 'ü', '', 'NULL', null, '{"x"}'],
  hstore(array['k', 'n'], array['v' || i, null]), jsonb_build_object('i', i, 'ü', repeat('x', i % 50)), '{"a" :  1}'::json,
  decode(lpad(to_hex(i), 8, '0'), 'hex'), app.money_range(i, i + 1.5), app.money_multirange(app.money_range(i, i + 1)),
  (i * 1.01)::numeric::money, make_interval(days => i, secs => i * 0.001), '10.0.0.1/8'::inet, '10.1.0.0/16'::cidr, '08:00:2b:01:02:03'::macaddr, '08:00:2b:01:02:03:04:05'::macaddr8,
  point(i, -i), '((0,0),(1,1),(1,0))'::polygon, '<(0,0),1>'::circle, B'10101', B'1', md5(i::text)::uuid,
  to_tsvector('simple', 'user number ' || i), 'a & b'::tsquery, '<a>ü</a>'::xml, i / 3.0, case i % 5 when 0 then 'NaN'::float8 when 1 then 'Infinity' else i / 7.0 end,
  case when i % 7 = 0 then 'NaN'::numeric else i / 9.0 end, 'pg_catalog.pg_class'::regclass, 'x'::"char", 'fix', 'vc', '$.a[*]'::jsonpath, '0/16B3748'::pg_lsn
from generate_series(1, 2000) i;
insert into app.users (email) select 'empty' || i from generate_series(1, 5) i;

create index "users name idx" on app.users (((home).street) text_pattern_ops) where mood = 'sad';
create index users_tags on app.users using gin (tags);
create index users_profile on app.users using gin (profile jsonb_path_ops);
create index users_place on app.users using gist (place);
create index users_lower on app.users (lower(name) desc nulls last, (id % 10)) include (at) with (fillfactor = 70);
alter index app.users_lower alter column 2 set statistics 300;
create index users_trgm on app.users using gin ((email::text) gin_trgm_ops);
create index users_brin on app.users using brin (at) with (pages_per_range = 32);
create index users_hash on app.users using hash (u);
comment on index app.users_hash is 'said of an index';
create statistics app."users stats" (ndistinct, dependencies, mcv) on mood, share from app.users;
create statistics app.users_expr on (lower(name)), (id % 3) from app.users;
alter statistics app."users stats" owner to "every owner";
alter statistics app."users stats" set statistics 200;
comment on statistics app."users stats" is 'said of statistics';

create table "a.b"."t""able with 'everything' in its name $1; -- ü" (
  "select" int not null,
  "col""umn" text,
  "ünï cödé.dot" text default 'it''s',
  "0123456789012345678901234567890123456789012345678901234567890ab" int,
  constraint "pk ""of"" it" primary key ("select")
);
insert into "a.b"."t""able with 'everything' in its name $1; -- ü" select i, 'v' || i, E'\\N', i from generate_series(1, 100) i;
create unique index "idx; drop table x" on "a.b"."t""able with 'everything' in its name $1; -- ü" ("ünï cödé.dot", "select");
create table "Ünïcode schema"."012345678901234567890123456789012345678901234567890123456789üa" (a int);
insert into "Ünïcode schema"."012345678901234567890123456789012345678901234567890123456789üa" select generate_series(1, 10);

create table app.no_columns ();
insert into app.no_columns default values; insert into app.no_columns default values;
create table app.only_generated (g int generated always as (1 + 1) stored);
insert into app.only_generated default values;
create table app.dropped_columns (a int, b text, c int);
alter table app.dropped_columns drop column b;
insert into app.dropped_columns values (1, 2);
create table app.empty (a int primary key, b text unique);
create unlogged table app.unlogged (a int);
insert into app.unlogged values (1), (2);
create table app.of_type of app.address (street with options not null);
insert into app.of_type values ('s', 1, '{}');
create table app.wide (id int primary key, big text);
insert into app.wide select i, string_agg(md5((i * 1000 + j)::text), '') from generate_series(1, 20) i, generate_series(1, 5000) j group by i;
alter table app.wide replica identity full;

create table app.clustered (a int, b int);
insert into app.clustered select i, -i from generate_series(1, 1000) i;
create index clustered_b on app.clustered (b);
alter table app.clustered cluster on clustered_b;
create table app.identity_index (a int not null, b int);
create unique index identity_index_a on app.identity_index (a);
alter table app.identity_index replica identity using index identity_index_a;
create table app.identity_pk (a int primary key);
alter table app.identity_pk replica identity using index identity_pk_pkey;
create table app.nulls (a int, constraint nulls_a unique nulls not distinct (a));
insert into app.nulls values (null), (1);
create table app.deferred (a int primary key deferrable initially deferred, b int unique deferrable);
insert into app.deferred values (1, 1), (2, 2);
create table app.booking (room int, during tstzrange, exclude using gist (room with =, during with &&));
insert into app.booking values (1, '[2020-01-01, 2020-01-02)'), (1, '[2020-01-02, 2020-01-03)');

-- Inheritance and partitions --------------------------------------------------------------------------
create table app.parent (id int, note text);
create table app.child (extra int check (extra > 0)) inherits (app.parent);
create table app.child2 (id int, note text, more text);
alter table app.child2 inherit app.parent;
insert into app.parent values (1, 'parent'); insert into app.child values (2, 'child', 5); insert into app.child2 values (3, 'c2', 'm');

create table app.events (id bigint generated by default as identity, at timestamptz not null, kind text not null, payload text,
  primary key (id, at)) partition by range (at);
create table app.events_2020 partition of app.events for values from ('2020-01-01') to ('2021-01-01');
create table app.events_2021 partition of app.events for values from ('2021-01-01') to ('2022-01-01') partition by range (at);
create table app.events_2021_a partition of app.events_2021 for values from ('2021-01-01') to ('2021-07-01');
create table app.events_2021_rest partition of app.events_2021 default;
create table app.events_default (payload text, kind text not null, at timestamptz not null, id bigint not null);
alter table app.events attach partition app.events_default default;
create index events_kind on app.events (kind);
create index events_2020_own on app.events_2020 (payload);
insert into app.events (at, kind, payload)
  select timestamptz '2020-01-01' + i * interval '13 hours', case when i % 2 = 0 then 'a' else 'b' end, 'p' || i from generate_series(1, 3000) i;
create table app.hashed (m app.mood, v int) partition by hash (m);
create table app.hashed_0 partition of app.hashed for values with (modulus 2, remainder 0);
create table app.hashed_1 partition of app.hashed for values with (modulus 2, remainder 1);
insert into app.hashed select (enum_range(null::app.mood))[1 + i % 4], i from generate_series(1, 400) i;
create index hashed_v on app.hashed (v);

-- Foreign keys ------------------------------------------------------------------------------------------
create table app.orders (
  id int primary key, user_id bigint not null references app.users on delete cascade,
  event_id bigint, event_at timestamptz, parent int references app.orders deferrable initially deferred,
  foreign key (event_id, event_at) references app.events (id, at) match full);
insert into app.orders select i, 1000 + 7 * (i % 100), null, null, nullif(i - 1, 0) from generate_series(1, 500) i;
alter table app.orders add constraint "not validated" foreign key (user_id) references app.users not valid;
comment on constraint "not validated" on app.orders is 'said of a foreign key';
create table app.event_notes (event_id bigint, event_at timestamptz, note text,
  foreign key (event_id, event_at) references app.events (id, at)) partition by range (event_at);
create table app.event_notes_all partition of app.event_notes default;
insert into app.event_notes select id, at, 'n' from app.events limit 50;
create table app.cycle_a (id int primary key, b int);
create table app.cycle_b (id int primary key, a int references app.cycle_a);
alter table app.cycle_a add foreign key (b) references app.cycle_b;
insert into app.cycle_a values (1, null); insert into app.cycle_b values (1, 1); update app.cycle_a set b = 1;

-- Sequences -----------------------------------------------------------------------------------------------
create sequence app.plain increment by -3 minvalue -1000 maxvalue 1000 start 1000 cache 5 cycle;
select nextval('app.plain'), nextval('app.plain');
create sequence app.untouched as smallint;
create sequence "a.b"."se""q";
select setval('"a.b"."se""q"', 42, false);
create table app.serials (a serial, b bigserial);
insert into app.serials default values; insert into app.serials default values;
grant usage on sequence app.plain to "every ""reader""";

-- Views, materialised views, rules --------------------------------------------------------------------------
create view app.happy with (security_barrier) as select id, name from app.users where mood = 'happy''s' with local check option;
create view app.by_key as select u.id, u.name, count(*) as orders from app.users u join app.orders o on o.user_id = u.id group by u.id;
create view app.numbers as with recursive r (n) as (values (1) union all select n + 1 from r where n < 5) select n from r;
create materialized view app.totals as select user_id, count(*) as n from app.orders group by user_id;
create unique index totals_user on app.totals (user_id);
create materialized view app.totals_of_totals as select sum(n) as all from app.totals;
create materialized view app.not_filled as select 1 as one with no data;
create view app.writable as select 1 as a;
create rule "_ins" as on insert to app.writable do instead nothing;
create rule log_delete as on delete to app.empty do also insert into app.unlogged values (9);
alter table app.empty disable rule log_delete;
create view app.uses_atomic as select app.atomic(1) as two;
comment on view app.happy is 'said of a view';
grant select on app.orders to "every owner";
alter materialized view app.totals owner to "every owner";

-- Triggers, event triggers ------------------------------------------------------------------------------------
create trigger touch before insert or update of name on app.users for each row when (new.id > 0) execute function app.touch();
create trigger "disabled trigger" after update on app.users for each row execute function app.touch();
alter table app.users disable trigger "disabled trigger";
create trigger always before insert on app.wide for each row execute function app.touch();
alter table app.wide enable always trigger always;
create function app.noted() returns trigger language plpgsql as 'begin return null; end';
create trigger events_trigger after insert on app.events for each row execute function app.noted();
create constraint trigger late after insert on app.orders deferrable initially deferred for each row execute function app.noted();
comment on trigger touch on app.users is 'said of a trigger';
create function app.on_ddl() returns event_trigger language plpgsql as 'begin perform 1; end';
create event trigger "every ddl" on ddl_command_end when tag in ('CREATE TABLE') execute function app.on_ddl();
create event trigger no_drops on sql_drop execute function app.on_ddl();
alter event trigger no_drops disable;
comment on event trigger "every ddl" is 'said of an event trigger';

-- Row level security -----------------------------------------------------------------------------------------
create table app.hidden (owner_name text, v int);
insert into app.hidden select case when i % 2 = 0 then 'x' else 'y' end, i from generate_series(1, 100) i;
alter table app.hidden enable row level security;
alter table app.hidden force row level security;
create policy "only mine" on app.hidden as restrictive for select to public using (owner_name = current_user) ;
create policy write_mine on app.hidden for update to "every.team" using (true) with check (v > 0);
comment on policy "only mine" on app.hidden is 'said of a policy';

-- Grants --------------------------------------------------------------------------------------------------------
grant usage on schema app to "every ""reader""";
grant select, insert on app.users to "every ""reader""" with grant option;
grant select (id), update (big) on app.wide to public;
revoke all on app.empty from public;
grant all on app.empty to "every.team";
alter default privileges in schema app grant select on tables to "every ""reader""";
alter default privileges for role "every owner" revoke execute on functions from public;
grant usage on type app.address to "every.team";
revoke usage on language plpgsql from public;
grant usage on language plpgsql to "every.team";

-- Publications, text search, foreign data ---------------------------------------------------------------------
create publication everything for all tables with (publish = 'insert, delete');
create publication "so""me" for table app.users (id, email) where (id > 5), table app.wide;
create publication by_schema for table app.orders, tables in schema "a.b";
alter publication "so""me" owner to postgres;
comment on publication everything is 'said of a publication';
create subscription sub connection 'host=nowhere.invalid dbname=x password=sub-secret' publication p with (connect = false, slot_name = none);
create text search dictionary app.simple_de (template = simple, stopwords = english, accept = false);
create text search configuration app.conf (copy = simple);
alter text search configuration app.conf alter mapping for asciiword with app.simple_de, simple;
create foreign data wrapper nothing options (debug 'true');
create server "far away" foreign data wrapper nothing options (host 'x');
create user mapping for "every ""reader""" server "far away" options (password 'secret');
create foreign table app.far (a int options (x 'y')) server "far away" options (t 'u');
grant usage on foreign server "far away" to "every.team";
create access method heap2 type table handler heap_tableam_handler;
create table app.other_method (a int primary key) using heap2;
insert into app.other_method values (1), (2);

-- Large objects ------------------------------------------------------------------------------------------------
select lo_from_bytea(70001, convert_to(repeat('large object ', 5000), 'UTF8'));
select lo_create(70002);
select lo_from_bytea(70003, '\x00ff00ff');
select lo_put(70003, 1000000, '\xabcd');
comment on large object 70001 is 'said of a large object';
alter large object 70001 owner to "every owner";
grant select on large object 70003 to "every ""reader""";

-- Conversions, transforms, operator classes ---------------------------------------------------------------------
create conversion app.conv for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8;
create operator family app.fam using btree;
create operator class app.rev for type int using btree family app.fam as
  operator 1 >, operator 2 >=, operator 3 =, operator 4 <=, operator 5 <, function 1 btint4cmp(int, int);
create index wide_own_class on app.wide (id app.rev) where id < 0;
create function app.len(text) returns int language sql immutable as 'select length($1)';
create index wide_function on app.wide (app.len(big));

-- The database itself -------------------------------------------------------------------------------------------
select format('comment on database %I is %L', current_database(), 'it''s a database') \gexec
select format('alter database %I set search_path = "$user", app, "a.b"', current_database()) \gexec
select format('alter role "every owner" in database %I set work_mem = ''8MB''', current_database()) \gexec
select format('grant create on database %I to "every.team" with grant option', current_database()) \gexec
select format('revoke temporary on database %I from public', current_database()) \gexec
select format('alter database %I connection limit 50', current_database()) \gexec
