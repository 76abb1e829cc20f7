-- Every kind of object and every type of column.
create database shop character set utf8mb4 collate utf8mb4_unicode_ci comment 'the shop''s';
use shop;
create table numbers (
  t tinyint, tu tinyint unsigned, s smallint, m mediumint, i int, b bigint, bu bigint unsigned,
  de decimal(65,30), f float, d double, fd float(7,3), bi bit(13), bo boolean, z int(5) zerofill
);
insert into numbers values
  (-128, 255, -32768, -8388608, -2147483648, -9223372036854775808, 18446744073709551615,
   -12345678901234567890123456789012345.123456789012345678901234567890, 0.1, 0.1, 1.234, b'1010101010101', true, 42),
  (null, null, null, null, null, null, null, null, null, null, null, null, null, null),
  (1, 0, 1, 1, 1, 1, 1, 1, 3.4028234e38, 1.7976931348623157e308, -9999.999, b'0', false, 0),
  (1, 0, 1, 1, 1, 1, 1, 1, 16777217, 5e-324, 0, b'1', false, 1), (1, 0, 1, 1, 1, 1, 1, 1, 1.17549e-38, 1e15, 0, b'1111111111111', 1, 1);
set sql_mode = '';
create table times (
  id int primary key, d date, t time(6), dt datetime(6), ts timestamp(6) null, y year, dt0 datetime
);
insert into times values
  (1, '2026-10-25', '-838:59:59.123456', '9999-12-31 23:59:59.999999', '2026-10-25 00:30:00.000001', 2026, '2026-01-01 00:00:00'),
  (2, '0000-00-00', '00:00:00', '0000-00-00 00:00:00', null, 0, null), (3, null, null, null, null, null, null);
set time_zone = 'SYSTEM';
create table texts (
  id int not null, c char(10), v varchar(100), tt tinytext, t text, m mediumtext, l longtext,
  latin varchar(50) character set latin1, ucs varchar(50) character set ucs2, u16 varchar(50) character set utf16,
  sj varchar(50) character set sjis, big varchar(50) character set big5, bin varchar(50) collate utf8mb4_bin,
  e enum('a', 'b''c', 'ü'), s set('x', 'y', 'ä'), j json, primary key (id)
);
insert into texts values
  (1, 'a', 'tab\tnew\nline\\back\0nul\r''"`', '', 'ünïcödé 🦀', 'm', repeat('0123456789', 100000), 'café', 'ücs', '🦀', '表示', '功', 'B',
   'b''c', 'x,ä', '{"a": [1, "\\n"]}'),
  (2, null, '', null, '\\N', null, null, null, null, null, null, null, null, null, '', null),
  (3, '', 'NULL', '\\', '\t', '\n', '', '', '', '', '', '', '', 'a', 'x', '[]');
create table binaries (id int primary key, b binary(5), vb varbinary(300), bl blob, lb longblob, u uuid, i4 inet4, i6 inet6);
insert into binaries values
  (1, x'0001ff0a5c', unhex(concat(repeat('00ff5c090a0d', 40))), x'', repeat(x'5c00', 300000), '123e4567-e89b-12d3-a456-426655440000', '10.0.0.1', '2001:db8::ff00:42:8329'),
  (2, null, null, null, null, null, null, null), (3, x'', x'00', x'5c4e', x'0a', '00000000-0000-0000-0000-000000000000', '0.0.0.0', '::');
create table shapes (id int primary key, g geometry, p point not null, spatial index (p));
insert into shapes values (1, st_geomfromtext('POLYGON((0 0,0 5,5 5,0 0))', 4326), point(1, 2)), (2, null, point(-0.1, 1e300));
create table users (
  id int unsigned not null auto_increment primary key, name varchar(100) not null, mail varchar(200) as (concat(name, '@x')) virtual,
  long_name varchar(200) as (upper(name)) persistent, hidden int invisible default 7, at timestamp not null default current_timestamp,
  unique key (name), key (long_name), check (char_length(name) > 0)
) auto_increment = 1000;
insert into users (name, hidden) values ('ann', 1), ('bob', 2);
insert into users (id, name) values (1, 'first');
set sql_mode = 'NO_AUTO_VALUE_ON_ZERO'; insert into users (id, name) values (0, 'zero'); set sql_mode = '';
create table orders (
  id int not null auto_increment primary key, user_id int unsigned not null, total decimal(10, 2) default 0, parent int,
  constraint `of user` foreign key (user_id) references users (id) on delete cascade, foreign key (parent) references orders (id)
);
insert into orders (user_id, total) values (1, 1), (1000, 2); update orders set parent = 2 where id = 1;
create table log (id int auto_increment primary key, what varchar(100)) engine = aria;
create table old (a int, b text, fulltext (b)) engine = myisam; insert into old values (1, 'x'), (1, 'x'), (2, null);
create table parted (id int, y int, primary key (id, y)) partition by range (y)
  (partition p0 values less than (2000), partition p1 values less than maxvalue);
insert into parted values (1, 1999), (2, 2001);
create table nothing_own (a int as (1) persistent); insert into nothing_own () values (), (), ();
create table empty_one (id int);
create table `odd ``name'" 表.x` (`select` int, `a b``c` int, primary key (`a b``c`)); insert into `odd ``name'" 表.x` values (1, 2);
create table nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn (id int); insert into nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn values (1);
create sequence numbering start with 5 increment by 3; do nextval(numbering), nextval(numbering);
create table numbered (id int default nextval(shop.numbering), a int); insert into numbered (a) values (1), (2);
create view z_first as select u.name, sum(o.total) as total from users u join orders o on o.user_id = u.id group by u.name;
delimiter //
create function doubled(x decimal(10,2)) returns decimal(10,2) deterministic comment 'it''s' begin return x * 2; end //
create view a_second as select name, total, doubled(total) as twice from z_first where total > 0 //
create procedure fill(in n int, out m int) sql security invoker
begin
  declare i int default 0; -- a comment; with a semicolon
  while i < n do set i = i + 1; end while; set m = i;
end //
set sql_mode = 'ANSI_QUOTES' //
create procedure quoted() select "id" from "users" //
set sql_mode = '' //
create trigger one before insert on orders for each row set new.total = coalesce(new.total, 0) //
create trigger two after insert on orders for each row begin insert into log (what) values (concat('order of ', new.user_id)); end //
create trigger shop.three after insert on shop.orders for each row precedes two set @seen = 1 //
create event awake on schedule every 1 day starts '2030-01-01 00:00:00' ends '2037-01-01 00:00:00' on completion preserve comment 'e' do delete from log where id < 0 //
create event asleep on schedule at '2038-01-01 00:00:00' disable do select 1 //
delimiter ;
create role writers; create user app@'%' identified by 'x'; create user reader@'10.%' identified by 'y';
grant all on shop.* to app@'%'; grant select (id, name), update (name) on shop.users to reader@'10.%';
grant select on shop.z_first to reader@'10.%' with grant option; grant execute on procedure shop.fill to reader@'10.%'; grant insert on shop.* to writers;
create role team; create role elsewhere; create user member@'%' identified by 'z'; create user stranger@'%' identified by 'z';
grant writers to team; grant team to member@'%'; grant elsewhere to member@'%'; grant elsewhere to stranger@'%'; set default role team for member@'%';
