#!/bin/sh
# OpenJDK uses USR2 between its own threads: the agent leaves it alone there.
. "$(dirname "$0")/common.sh"
cat >Hot.java <<'JAVA'
public class Hot {
    static long burn(long n) {
        long s = 1;
        for (long i = 0; i < n; i++)
            s = s * 6364136223846793005L + i;
        return s;
    }
    public static void main(String[] a) throws Exception {
        Thread[] t = new Thread[3];
        long[] sums = new long[3];
        for (int i = 0; i < 3; i++) {
            final int me = i;
            t[i] = new Thread(() -> { for (int k = 0; k < 10; k++) sums[me] += burn(20000000 + me); });
            t[i].start();
        }
        for (Thread x : t)
            x.join();
        System.gc();
        System.out.println(sums[0] + " " + sums[1] + " " + sums[2]);
        System.exit(4);
    }
}
JAVA
javac Hot.java
status=0
agent java -Xmx128m -cp . Hot || status=$?
echo "java ended with $status"
