/* Who calls what: stacks merged from the root, printed until a branch is too small to matter. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cmd.h"
#include "tools/profile.h"
#include "tools/style.h"

const char cmd_tree_help[] =
    "usage: cprof tree [--min PERCENT] [--value NAME] FILE...\n"
    "\n"
    "Prints the call tree from the roots of the stacks, the biggest branch first: share and cost "
    "of a\n"
    "function in this place with everything it called (cum), and what it cost itself there "
    "(flat).\n"
    "Several files of one type are added up.\n"
    "\n"
    "      --min PERCENT  leave out branches below this share [1]\n"
    "      --value NAME   the value to show, when the profile has several [the main one]\n"
    "  -h, --help         this page\n"
    "\n"
    "examples:\n"
    "  cprof tree cprof-demo-4711-cpu-1.pb.gz\n"
    "  cprof tree --min 5 cprof-nginx-*-cpu-*.pb.gz\n";

struct node {
    const char *name;
    int64_t cum, flat;
    struct node **children;
    uint32_t n_children, cap;
    struct node *made_before;
};

struct tree {
    struct node root;
    struct node *nodes; /* all but the root, the newest first */
    bool out_of_memory;
};

static struct node *child_add(struct tree *t, struct node *n, const char *name) {
    if (n->n_children == n->cap) {
        uint32_t cap = n->cap ? 2 * n->cap : 4;
        struct node **more = realloc(n->children, cap * sizeof *more);
        if (!more)
            return NULL;
        n->children = more;
        n->cap = cap;
    }
    struct node *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->name = name;
    c->made_before = t->nodes;
    t->nodes = c;
    return n->children[n->n_children++] = c;
}

static struct node *child(struct tree *t, struct node *n, const char *name) {
    for (uint32_t i = 0; i < n->n_children; i++)
        if (strcmp(n->children[i]->name, name) == 0)
            return n->children[i];
    return child_add(t, n, name);
}

static void add_sample(void *arg, const struct frames *stack, int64_t value) {
    struct tree *t = arg;
    struct node *n = &t->root;
    for (uint32_t i = stack->n; i-- > 0;) {
        n = child(t, n, stack->names[i]);
        if (!n) {
            t->out_of_memory = true;
            return;
        }
        n->cum += value;
    }
    n->flat += value;
}

static int by_cum(const void *a, const void *b) {
    const struct node *x = *(struct node *const *)a, *y = *(struct node *const *)b;
    int c = (y->cum > x->cum) - (y->cum < x->cum);
    return c ? c : strcmp(x->name, y->name);
}

/* Where the walk is. Not the C stack: a profile may hold stacks of any depth. */
struct path {
    struct node **nodes;
    uint32_t *next;
    uint32_t n, cap;
};

static bool path_push(struct path *p, struct node *n) {
    if (p->n == p->cap) {
        uint32_t cap = p->cap ? 2 * p->cap : 64;
        struct node **nodes = realloc(p->nodes, cap * sizeof *nodes);
        if (nodes)
            p->nodes = nodes;
        uint32_t *next = realloc(p->next, cap * sizeof *next);
        if (next)
            p->next = next;
        if (!nodes || !next)
            return false;
        p->cap = cap;
    }
    if (n->n_children)
        qsort(n->children, n->n_children, sizeof *n->children, by_cum);
    p->nodes[p->n] = n;
    p->next[p->n++] = 0;
    return true;
}

static void print_node(const struct profile *p, const struct node *n, uint32_t depth) {
    char cum[32], flat[32];
    profile_value(cum, sizeof cum, p, n->cum);
    profile_value(flat, sizeof flat, p, n->flat);
    printf("%6.2f%% %10s %10s  %*s%s\n", profile_percent(p, n->cum), cum, n->flat ? flat : "",
           (int)(2 * depth), "", n->name);
}

/* Prints from the root; true unless memory ran out. */
static bool print_tree(const struct profile *p, struct node *root, double least) {
    struct path at = {0};
    bool ok = path_push(&at, root);
    while (ok && at.n > 0) {
        struct node *n = at.nodes[at.n - 1];
        uint32_t i = at.next[at.n - 1]++;
        if (i >= n->n_children || profile_percent(p, n->children[i]->cum) < least) {
            at.n--;
            continue;
        }
        print_node(p, n->children[i], at.n - 1);
        ok = path_push(&at, n->children[i]);
    }
    free(at.nodes);
    free(at.next);
    return ok;
}

static void free_tree(struct tree *t) {
    while (t->nodes) {
        struct node *n = t->nodes;
        t->nodes = n->made_before;
        free(n->children);
        free(n);
    }
    free(t->root.children);
}

struct asked {
    double least;
    const char *value;
};

static int parse(int argc, char **argv, struct asked *ret_asked) {
    enum { MIN = 256, VALUE };
    static const struct option options[] = {{"min", required_argument, 0, MIN},
                                            {"value", required_argument, 0, VALUE},
                                            {"help", no_argument, 0, 'h'},
                                            {0}};
    struct asked a = {.least = 1};
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        char *end;
        switch (c) {
        case MIN:
            a.least = strtod(optarg, &end);
            if (end == optarg || *end || !(a.least >= 0 && a.least <= 100)) {
                command_misused("tree", "--min %s: not a share from 0 to 100", optarg);
                return -2;
            }
            break;
        case VALUE: a.value = optarg; break;
        case 'h': return -1;
        default: command_misused("tree", "wrong option"); return -2;
        }
    }
    if (optind == argc) {
        command_misused("tree", "which profile? FILE is missing");
        return -2;
    }
    *ret_asked = a;
    return optind;
}

int cmd_tree(int argc, char **argv) {
    struct asked asked;
    int first = parse(argc, argv, &asked);
    if (first == -1)
        fputs(cmd_tree_help, stdout);
    if (first < 0)
        return first == -1 ? CMD_OK : CMD_USAGE;

    struct profile p;
    if (profile_load(&p, "tree", argv + first, (unsigned)(argc - first), asked.value) < 0)
        return CMD_FAILED;
    struct tree t = {0};
    int r = profile_walk(&p, add_sample, &t);
    bool ok = r == 0 && !t.out_of_memory;
    if (ok) {
        profile_header(&p);
        printf("%s%7s %10s %10s%s\n", style_bold(), "cum%", "cum", "flat", style_plain());
        ok = print_tree(&p, &t.root, asked.least);
    }
    free_tree(&t);
    profile_done(&p);
    return ok ? CMD_OK : command_failed("tree", "out of memory");
}
