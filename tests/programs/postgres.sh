#!/bin/sh
# postgres.sh CLIENTS TRANSACTIONS: a server of its own under pgbench, over a socket in this folder. The server refuses
# root, so it runs as nobody then. Its balances must add up.
. "$(dirname "$0")/common.sh"
for f in /usr/lib/postgresql/*/bin; do
    if [ -x "$f/initdb" ]; then bin=$f; fi
done
as=
if [ "$(id -u)" = 0 ]; then
    chown nobody .
    as="setpriv --reuid=nobody --clear-groups --no-new-privs env HOME=$PWD"
fi
$as "$bin/initdb" -D data -U me -A trust --no-sync --locale=C >initdb.txt 2>&1 || fail "$(cat initdb.txt)"
cat >>data/postgresql.conf <<CONF
listen_addresses = ''
unix_socket_directories = '$PWD'
fsync = off
autovacuum_naptime = 1
CONF
ask() { "$bin/psql" -h "$PWD" -U me -d postgres -At -c "$1"; }
# shellcheck disable=SC2086 # words
start $as "$bin/postgres" -D data >server.txt 2>&1 &
server=$!
until_true 300 ask 'select 1'
"$bin/pgbench" -h "$PWD" -U me -i -q postgres >init.txt 2>&1 || fail "$(cat init.txt)"
"$bin/pgbench" -h "$PWD" -U me -n -c "$1" -j 2 -t "$2" postgres >bench.txt 2>&1 || fail "$(cat bench.txt)"
grep 'actually processed' bench.txt
ask 'select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history),
            (select count(*) from pgbench_history)'
kill -INT "$server"
wait "$server" || fail "postgres ended with $?: $(cat server.txt)"
grep -E 'PANIC|terminated by signal|stuck spinlock' server.txt || echo "postgres ended well"
