#!/bin/sh
# The compiler: cc1 and the assembler are grandchildren.
. "$(dirname "$0")/common.sh"
i=0
while [ $i -lt 500 ]; do
    echo "int f$i(int *p, int n) { int s = 0; for (int i = 0; i < n; i++) for (int j = 0; j < i; j++)" \
        "s += p[i] * p[j] ^ (s >> $((i % 13))) + f$i(p + 1, n - $i); return s; }"
    i=$((i + 1))
done >many.c
agent gcc -O2 -frandom-seed=1 -c many.c -o many.o
cksum <many.o
echo 'int main(void) { return 7; }' >small.c
agent gcc small.c -o small
status=0
./small || status=$?
echo "compiled program ended with $status"
