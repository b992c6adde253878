#!/bin/sh
# A table of a million rows, built and queried.
. "$(dirname "$0")/common.sh"
start sqlite3 -batch test.db >answer.txt <<'SQL' &
pragma journal_mode = off;
create table t(a integer primary key, b integer, c text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000000)
    insert into t select i, (i * 7919) % 100003, 'row ' || i from n;
create index tb on t(b);
select count(*), sum(b), max(c) from t;
select b % 10, count(*), avg(a) from t group by 1 order by 1;
select count(*) from t x join t y on x.b = y.a where x.c like '%99%';
SQL
program=$!
sleep 0.8
dump "$program" USR2
wait "$program"
cat answer.txt
