#!/bin/sh
# A table of a million rows, built and queried. It waits for its next statements while it is dumped.
. "$(dirname "$0")/common.sh"
mkfifo statements
start sqlite3 -batch test.db >answer.txt <statements &
program=$!
exec 3>statements
cat >&3 <<'SQL'
pragma journal_mode = off;
create table t(a integer primary key, b integer, c text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000000)
    insert into t select i, (i * 7919) % 100003, 'row ' || i from n;
create index tb on t(b);
.system : >warm
SQL
dump_when_warm "$program"
cat >&3 <<'SQL'
select count(*), sum(b), max(c) from t;
select b % 10, count(*), avg(a) from t group by 1 order by 1;
select count(*) from t x join t y on x.b = y.a where x.c like '%99%';
SQL
exec 3>&-
wait "$program"
cat answer.txt
