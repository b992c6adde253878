#!/bin/sh
# A C file of N functions with loops, switches and structs, for a compiler to chew on: work_c.sh N
awk -v n="$1" 'BEGIN {
    print "struct s { int a, b; double c; struct s *next; };"
    for (i = 0; i < n; i++) {
        printf "int f%d(struct s *p, int n) {\n    int sum = %d;\n", i, i
        printf "    for (int i = 0; i < n; i++) {\n        switch ((p->a + i) %% 5) {\n"
        for (j = 0; j < 4; j++)
            printf "        case %d: sum += p->b * %d + i; p->c *= 1.%d; break;\n", j, i + j, j
        printf "        default: if (p->next) p = p->next; else sum ^= i << %d;\n        }\n    }\n", i % 13
        if (i > 0)
            printf "    return sum > n ? f%d(p, n - 1) : sum;\n}\n", int(i / 2)
        else
            print "    return sum;\n}"
    }
}'
