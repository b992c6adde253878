#!/bin/sh
# nginx reading files with its thread pool.
. "$(dirname "$0")/common.sh"
port=$(free_port)
mkdir -p pages
for i in 1 2 3 4 5 6 7 8; do
    head -c 200000 /dev/zero | tr '\0' "$i" >pages/$i.html
done
cat >nginx.conf <<CONF
user root;
worker_processes 1;
daemon off;
pid nginx.pid;
error_log error.log;
thread_pool readers threads=4;
events { worker_connections 64; }
http {
    access_log off;
    sendfile off;
    server { listen 127.0.0.1:$port; location / { root $PWD/pages; aio threads=readers; } }
}
CONF
start /usr/sbin/nginx -p "$PWD" -e error.log -c nginx.conf &
server=$!
until_true 300 curl -sf -o /dev/null "http://127.0.0.1:$port/1.html"
wrk -t 1 -c 16 -d 1s "http://127.0.0.1:$port/2.html" >wrk.txt
for i in 1 2 3 4 5 6 7 8; do
    curl -sf "http://127.0.0.1:$port/$i.html" | cksum
done
kill -QUIT "$server"
wait "$server"
echo "nginx ended with $?"
