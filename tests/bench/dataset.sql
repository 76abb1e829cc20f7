-- The dataset of the benches, beside `pgbench -i -s 100` in the same database: a shop whose text, documents
-- and identifiers hardly compress, with foreign keys and secondary indexes. About 0.7 GB. Same on every run.
\set ON_ERROR_STOP on
set synchronous_commit = off;
set maintenance_work_mem = '512MB';
set client_min_messages = warning;
select setseed(0.42) \g /dev/null
create schema shop;
create extension if not exists pgcrypto;
create type shop.order_state as enum ('new', 'paid', 'shipped', 'done', 'cancelled');

create table shop.words (id int primary key, w text not null);
insert into shop.words
select n, substr(translate(encode(gen_random_bytes(9), 'base64'), '+/=0123456789', 'abcdefghijklm'), 1, 3 + (random() * 8)::int)
from generate_series(1, 20000) n;

create table shop.users (
  id bigint generated always as identity primary key,
  uid uuid not null default gen_random_uuid(),
  email text not null,
  full_name text not null,
  password_hash bytea not null,
  profile jsonb not null,
  created_at timestamptz not null,
  last_seen timestamptz,
  balance numeric(14, 2) not null default 0
);
create table shop.products (
  id int primary key, sku text not null, title text not null, description text not null,
  price numeric(10, 2) not null, tags text[] not null, attrs jsonb not null
);
create table shop.orders (
  id bigint generated always as identity primary key,
  user_id bigint not null, ref uuid not null, state shop.order_state not null,
  total numeric(12, 2) not null, placed_at timestamptz not null, ship_to text, note text
);
create table shop.order_items (
  order_id bigint not null, line int not null, product_id int not null, qty int not null,
  unit_price numeric(10, 2) not null, discount double precision
);
create table shop.events (
  id bigint generated always as identity,
  user_id bigint not null, kind text not null, at timestamptz not null,
  ip inet not null, session uuid not null, payload jsonb not null
);

-- Every row takes its words from one shelf of a hundred: an array that is short enough to lie in its row
-- is read in no time, one of all 20 000 words would be unpacked for every word.
create function pg_temp.some_words(amount int, shelf text[]) returns text language sql volatile as $$
  select string_agg(shelf[1 + (random() * 99)::int], ' ') from generate_series(1, amount)
$$;
create temporary table shelf as
  select id % 200 as id, array_agg(w order by w) as words from shop.words group by 1;
analyze shelf;
set enable_mergejoin = off; -- A hash join leaves the rows in their order.
set enable_nestloop = off;

insert into shop.users (email, full_name, password_hash, profile, created_at, last_seen, balance)
select words[1 + (random() * 99)::int] || n || '@' || words[1 + (random() * 99)::int] || '.example',
       initcap(words[1 + (random() * 99)::int] || ' ' || words[1 + (random() * 99)::int]),
       gen_random_bytes(32),
       jsonb_build_object('city', words[1 + (random() * 99)::int],
         'bio', words[1 + (random() * 99)::int] || ' ' || words[1 + (random() * 99)::int] || ' '
             || words[1 + (random() * 99)::int] || ' ' || words[1 + (random() * 99)::int],
         'age', 18 + (random() * 60)::int, 'token', encode(gen_random_bytes(16), 'hex'),
         'prefs', jsonb_build_object('news', random() < 0.5, 'lang', (array['en','de','fr','ru','es'])[1 + (random() * 4)::int])),
       timestamptz '2020-01-01' + random() * interval '2000 days',
       timestamptz '2025-07-01' + random() * interval '100 days', (random() * 100000)::numeric(14, 2)
from generate_series(1, 300000) n join shelf on shelf.id = n % 200;

insert into shop.products
select n, upper(encode(gen_random_bytes(6), 'hex')), initcap(pg_temp.some_words(4, words)),
       pg_temp.some_words(10, words) || ' ' || encode(gen_random_bytes(120), 'base64'),
       (random() * 900)::numeric(10, 2),
       array[words[1 + (random() * 99)::int], words[1 + (random() * 99)::int]],
       jsonb_build_object('w', random(), 'h', random(), 'ean', (random() * 1e13)::bigint)
from generate_series(1, 30000) n join shelf on shelf.id = n % 200;

insert into shop.orders (user_id, ref, state, total, placed_at, ship_to, note)
select 1 + (random() * 299999)::bigint, gen_random_uuid(),
       (array['new','paid','shipped','done','cancelled'])[1 + (random() * 4)::int]::shop.order_state,
       (random() * 5000)::numeric(12, 2),
       timestamptz '2022-01-01' + n * interval '80 seconds' + random() * interval '1 hour',
       words[1 + (random() * 99)::int] || ' ' || words[1 + (random() * 99)::int] || ' '
         || words[1 + (random() * 99)::int] || ', ' || (random() * 99999)::int,
       case when random() < 0.3 then words[1 + (random() * 99)::int] || ' ' || words[1 + (random() * 99)::int]
         || ' ' || words[1 + (random() * 99)::int] end
from generate_series(1, 1000000) n join shelf on shelf.id = n % 200;

insert into shop.order_items
select o, l, 1 + (random() * 29999)::int, 1 + (random() * 5)::int, (random() * 900)::numeric(10, 2),
       case when random() < 0.2 then random() end
from generate_series(1, 1000000) o, generate_series(1, 2) l;

insert into shop.events (user_id, kind, at, ip, session, payload)
select 1 + (random() * 299999)::bigint,
       (array['login','view','search','cart','pay','logout','error'])[1 + (random() * 6)::int],
       timestamptz '2025-01-01' + n * interval '15 seconds',
       ('10.' || (random() * 255)::int || '.' || (random() * 255)::int || '.' || (random() * 255)::int)::inet,
       gen_random_uuid(),
       jsonb_build_object('ua', words[1 + (random() * 99)::int] || ' ' || words[1 + (random() * 99)::int],
         'q', words[1 + (random() * 99)::int] || ' ' || words[1 + (random() * 99)::int] || ' '
           || words[1 + (random() * 99)::int],
         'ms', (random() * 2000)::int, 'trace', encode(gen_random_bytes(12), 'hex'), 'score', random())
from generate_series(1, 1000000) n join shelf on shelf.id = n % 200;

create unique index users_uid on shop.users (uid);
create unique index users_email on shop.users (email);
create index users_profile on shop.users using gin (profile jsonb_path_ops);
alter table shop.order_items add primary key (order_id, line);
alter table shop.events add primary key (id);
create index orders_user on shop.orders (user_id);
create unique index orders_ref on shop.orders (ref);
create index orders_placed on shop.orders (placed_at);
create index items_product on shop.order_items (product_id);
create index events_user_at on shop.events (user_id, at);
create index events_session on shop.events (session);
create index events_at on shop.events (at);
create index products_sku on shop.products (sku);
create index users_created on shop.users (created_at);
create index orders_state on shop.orders (state, placed_at);
alter table shop.orders add foreign key (user_id) references shop.users;
alter table shop.order_items add foreign key (order_id) references shop.orders;
alter table shop.order_items add foreign key (product_id) references shop.products;
alter table shop.events add foreign key (user_id) references shop.users;
