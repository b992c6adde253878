#!/bin/sh
# nginx, a daemon with two workers, under wrk. It upgrades its binary on USR2: that must still work.
. "$(dirname "$0")/common.sh"
port=$(free_port)
head -c 20000 /dev/zero | tr '\0' x >page.html
cat >nginx.conf <<CONF
user root;
worker_processes 2;
pid nginx.pid;
error_log error.log;
events { worker_connections 64; }
http {
    access_log access.log;
    gzip on;
    server { listen 127.0.0.1:$port; location / { root $PWD; } }
}
CONF
agent /usr/sbin/nginx -p "$PWD" -e error.log -c nginx.conf
until_true 300 test -s nginx.pid
master=$(cat nginx.pid)
until_true 300 curl -sf -o /dev/null "http://127.0.0.1:$port/page.html"
until burns "$(busiest_child_of "$master")" 80; do
    wrk -t 1 -c 8 -d 1s -H 'Accept-Encoding: gzip' "http://127.0.0.1:$port/page.html" >wrk.txt
done
[ -n "${NO_DUMP:-}" ] || dump "$(busiest_child_of "$master")" VTALRM
curl -sf "http://127.0.0.1:$port/page.html" | cksum
kill -USR2 "$master"
until_true 300 test -s nginx.pid.oldbin
until_true 300 test -s nginx.pid
echo "upgraded"
new=$(cat nginx.pid)
curl -sf "http://127.0.0.1:$port/page.html" | cksum
kill -QUIT "$master"
until_true 300 gone "$master"
kill -QUIT "$new"
until_true 300 gone "$new"
echo "nginx ended"
