#!/bin/sh
# Small programs of every day: output and status stay what they are, sort among them (it dies of SIGPROF).
. "$(dirname "$0")/common.sh"
seq 300000 | awk '{ print ($1 * 7919) % 300007 }' >numbers.txt
agent sort -n numbers.txt | cksum
agent sort --parallel=4 -S 4M numbers.txt | cksum
agent gzip -9n <numbers.txt | cksum
agent sed 's/9/nine/g' numbers.txt | cksum
agent awk '{ s += $1 } END { print s }' numbers.txt
agent perl -e 'my %h; $h{$_ % 977}++ for 1 .. 5000000; print scalar(keys %h), "\n"'
agent bash -c 'for i in $(seq 300); do x=$(echo $i); done; echo $x; (exit 9)' || echo "bash ended with $?"
agent tar cf - numbers.txt --mtime=@0 --owner=0 --group=0 | cksum
agent xargs -P 4 -n 1 sh -c 'echo $0' <<EOS | sort
one
two
three
EOS
agent timeout 1 sleep 5 || echo "timeout ended with $?"
agent git --version >/dev/null 2>&1 || true
agent env -i /bin/echo clean
