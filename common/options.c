/*
 * One parser per row: it stores the value in *o and returns NULL, or leaves *o alone and returns
 * what would have been right. The defaults go through the same parsers, so the text in --help is
 * the default. Complaints are made in one place, cut to what fits a line: an environment value may
 * be a megabyte of anything.
 *
 * Nothing here asks libc about the environment, the locale or memory: this runs at load, before the
 * host's own code.
 */
#include "common/options.h"
#include "common/glob.h"

#include <signal.h>
#include <string.h>

enum { MAX_COMPLAINTS = 8, RTMIN = 34, RTMAX = 64 };

static const uint64_t second = 1000000000u;

/* Text. */

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c; }

static bool equal(const char *s, size_t n, const char *word) {
    for (size_t i = 0; i < n; i++)
        if (!word[i] || lower(s[i]) != lower(word[i]))
            return false;
    return !word[n];
}

static bool one_of(const char *s, size_t n, const char *const *words, unsigned *ret_i) {
    for (unsigned i = 0; words[i]; i++)
        if (equal(s, n, words[i])) {
            *ret_i = i;
            return true;
        }
    return false;
}

/* The text up to the next comma; *s and *n move behind it. */
static size_t next_item(const char **s, size_t *n, const char **ret_item) {
    const char *comma = memchr(*s, ',', *n);
    size_t len = comma ? (size_t)(comma - *s) : *n;
    *ret_item = *s;
    *s += comma ? len + 1 : len;
    *n -= comma ? len + 1 : len;
    return len;
}

static bool copy(char *to, size_t cap, const char *s, size_t n) {
    if (n == 0 || n >= cap)
        return false;
    memcpy(to, s, n);
    to[n] = '\0';
    return true;
}

/* Without control characters: a newline would forge a line of its own. */
static void printable(struct text *t, const char *s, size_t n) {
    for (size_t i = 0; i < n && !t->cut; i++)
        text_char(t, (unsigned char)s[i] >= ' ' && s[i] != 0x7f ? s[i] : '?');
}

/* What somebody typed, cut so that the rest of the line still fits. */
static void quote(struct text *t, const char *s, size_t n) {
    enum { SHOWN = 60 };
    text_char(t, '\'');
    printable(t, s, n < SHOWN ? n : SHOWN);
    text_str(t, n > SHOWN ? "...'" : "'");
}

static unsigned min3(unsigned a, unsigned b, unsigned c) {
    return a < b ? (a < c ? a : c) : (b < c ? b : c);
}

/* Edits between two words (Levenshtein); far apart is 99. */
static unsigned distance(const char *s, size_t n, const char *word) {
    enum { LONG = 24 };
    size_t m = strlen(word);
    if (n > LONG || m > LONG)
        return 99;
    unsigned row[LONG + 1];
    for (unsigned j = 0; j <= m; j++)
        row[j] = j;
    for (unsigned i = 1; i <= n; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= m; j++) {
            unsigned above = row[j];
            row[j] =
                min3(above + 1, row[j - 1] + 1, diagonal + (lower(s[i - 1]) != lower(word[j - 1])));
            diagonal = above;
        }
    }
    return row[m];
}

struct guess {
    const char *word;
    unsigned distance;
};

/* Two edits, but not the whole word: "x" is not a misspelt "cpu". */
static void guess(struct guess *g, const char *s, size_t n, const char *word) {
    unsigned d = distance(s, n, word);
    if (d <= 2 && d < n && (!g->word || d < g->distance))
        *g = (struct guess){word, d};
}

static void did_you_mean(struct text *t, const struct guess *g) {
    if (!g->word)
        return;
    text_str(t, " (did you mean '");
    text_str(t, g->word);
    text_str(t, "'?)");
}

/* Numbers with units. */

struct unit {
    const char *name;
    uint64_t factor;
};

static bool number(const char *s, size_t n, const struct unit *units, uint64_t *ret_value) {
    uint64_t v = 0;
    size_t i = 0;
    for (; i < n && s[i] >= '0' && s[i] <= '9'; i++)
        if (__builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s[i] - '0'), &v))
            return false;
    if (i == 0)
        return false;
    for (; units->name; units++)
        if (equal(s + i, n - i, units->name))
            return !__builtin_mul_overflow(v, units->factor, ret_value);
    return false;
}

bool option_hz(const char *s, size_t n, uint64_t *ret_value) {
    static const struct unit units[] = {{"", 1}, {"hz", 1}, {0}};
    return number(s, n, units, ret_value);
}

bool option_bytes(const char *s, size_t n, uint64_t *ret_value) {
    static const struct unit units[] = {
        {"", 1}, {"k", 1u << 10}, {"m", 1u << 20}, {"g", 1u << 30}, {0}};
    return number(s, n, units, ret_value);
}

bool option_duration(const char *s, size_t n, uint64_t *ret_value) {
    static const struct unit units[] = {
        {"", 1000000000u},  {"ns", 1},           {"us", 1000},          {"ms", 1000000},
        {"s", 1000000000u}, {"m", 60000000000u}, {"h", 3600000000000u}, {0}};
    return number(s, n, units, ret_value);
}

static const struct {
    const char *name;
    int number;
} signals[] = {
    {"HUP", SIGHUP},       {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"ILL", SIGILL},
    {"TRAP", SIGTRAP},     {"ABRT", SIGABRT}, {"BUS", SIGBUS},   {"FPE", SIGFPE},
    {"KILL", SIGKILL},     {"USR1", SIGUSR1}, {"SEGV", SIGSEGV}, {"USR2", SIGUSR2},
    {"PIPE", SIGPIPE},     {"ALRM", SIGALRM}, {"TERM", SIGTERM}, {"CHLD", SIGCHLD},
    {"CONT", SIGCONT},     {"STOP", SIGSTOP}, {"TSTP", SIGTSTP}, {"TTIN", SIGTTIN},
    {"TTOU", SIGTTOU},     {"URG", SIGURG},   {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ},
    {"VTALRM", SIGVTALRM}, {"PROF", SIGPROF}, {"IO", SIGIO},     {"WINCH", SIGWINCH},
    {"PWR", SIGPWR},       {"SYS", SIGSYS},   {"POLL", SIGIO},   {"STKFLT", 16},
    {"RTMIN", RTMIN},      {"RTMAX", RTMAX},
};

int option_signal_number(const char *s, size_t n) {
    static const struct unit plain[] = {{"", 1}, {0}};
    uint64_t v;
    if (number(s, n, plain, &v))
        return v >= 1 && v <= RTMAX ? (int)v : 0;
    if (n > 3 && equal(s, 3, "SIG"))
        s += 3, n -= 3;
    if (n > 6 && equal(s, 6, "RTMIN+") && number(s + 6, n - 6, plain, &v))
        return v <= RTMAX - RTMIN ? RTMIN + (int)v : 0;
    if (n > 6 && equal(s, 6, "RTMAX-") && number(s + 6, n - 6, plain, &v))
        return v <= RTMAX - RTMIN ? RTMAX - (int)v : 0;
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
        if (equal(s, n, signals[i].name))
            return signals[i].number;
    return 0;
}

/* Globs. */

/* Profile types. */

static const struct {
    bool (*parse)(const char *s, size_t n, uint64_t *ret_value);
    uint64_t min, max;
    const char *right;
} rates[] = {
    [RATE_HZ] = {option_hz, 1, 10000, "a rate from 1hz to 10000hz"},
    [RATE_BYTES] = {option_bytes, 1, 1u << 30, "a number of bytes from 1 to 1g, like 512k"},
    [RATE_NS] = {option_duration, 1, 10000000000u, "a time from 1ns to 10s, like 100us"},
};

static void say_unknown_kind(const char *s, size_t n) {
    struct guess g = {0};
    for (unsigned k = 0; k < KIND_COUNT; k++)
        guess(&g, s, n, kind_infos[k].name);
    guess(&g, s, n, "all");
    guess(&g, s, n, "off");
    struct log_line l;
    log_begin(&l, LOG_WARN, "CPROF");
    text_str(&l.text, "unknown profile ");
    quote(&l.text, s, n);
    did_you_mean(&l.text, &g);
    text_str(&l.text, "; it is ignored");
    log_end(&l);
}

static void say_wrong_rate(const struct kind_info *k, const char *s, size_t n) {
    struct log_line l;
    log_begin(&l, LOG_WARN, "CPROF");
    quote(&l.text, s, n);
    text_str(&l.text, k->unit == RATE_NONE ? ": " : " is not ");
    text_str(&l.text, k->unit == RATE_NONE ? k->name : rates[k->unit].right);
    text_str(&l.text, k->unit == RATE_NONE ? " takes no rate; it is on" : "; ");
    if (k->unit != RATE_NONE) {
        text_str(&l.text, k->name);
        text_str(&l.text, " keeps its default");
    }
    log_end(&l);
}

static bool rate_parse(const struct kind_info *k, const char *s, size_t n, uint64_t *ret_rate) {
    uint64_t v;
    if (k->unit == RATE_NONE || !rates[k->unit].parse(s, n, &v) || v < rates[k->unit].min ||
        v > rates[k->unit].max)
        return false;
    *ret_rate = v;
    return true;
}

static void kind_on(struct options *o, enum kind_id k) {
    o->kinds[k].on = true;
    o->kinds[k].asked = true;
    o->kinds[k].by_age = false;
    o->kinds[k].rate = kind_infos[k].default_rate;
}

static bool has_ages(const struct kind_info *k) {
    return kind_id(k) == KIND_heap || kind_id(k) == KIND_allocs;
}

/* "heap=512k/age": takes what stands behind the slash; what is left of n. */
static size_t age_parse(struct options *o, const struct kind_info *k, const char *s, size_t n,
                        bool quiet) {
    const char *slash = memchr(s, '/', n);
    size_t left = slash ? (size_t)(slash - s) : n;
    bool right = slash && has_ages(k) && equal(slash + 1, n - left - 1, "age");
    o->kinds[kind_id(k)].by_age = right;
    if (right || !slash || quiet)
        return left;
    struct log_line l;
    log_begin(&l, LOG_WARN, "CPROF");
    quote(&l.text, slash, n - left);
    text_str(&l.text, has_ages(k) ? " is not /age" : ": only heap and allocs take /age");
    text_str(&l.text, "; ");
    text_str(&l.text, k->name);
    text_str(&l.text, " is on without it");
    log_end(&l);
    return left;
}

/* One item of the list, "heap" or "heap=256k" or "all". False: nothing known by that name. */
static bool kind_item(struct options *o, const char *s, size_t n, bool quiet) {
    const char *eq = memchr(s, '=', n);
    size_t name = eq ? (size_t)(eq - s) : n;
    if (equal(s, n, "all")) {
        for (unsigned k = 0; k < KIND_COUNT; k++)
            if (!o->kinds[k].asked)
                kind_on(o, (enum kind_id)k);
        return true;
    }
    if (equal(s, n, "off")) {
        o->off = true;
        return true;
    }
    const struct kind_info *k = name <= 32 ? kind_find(s, (unsigned)name) : NULL;
    if (!k) {
        if (!quiet)
            say_unknown_kind(s, name);
        return false;
    }
    kind_on(o, kind_id(k));
    if (eq)
        n = age_parse(o, k, s, n, quiet);
    bool only_age = o->kinds[kind_id(k)].by_age && n == name + 1;
    if (eq && !only_age && !rate_parse(k, eq + 1, n - name - 1, &o->kinds[kind_id(k)].rate) &&
        !quiet)
        say_wrong_rate(k, s, n);
    return true;
}

/* A list replaces the set before it, unless nothing in it has a meaning. Unless quiet, each item
 * got its line. */
static const char *option_kinds(struct options *o, const char *s, size_t n, bool quiet) {
    struct options fresh = *o;
    for (unsigned k = 0; k < KIND_COUNT; k++) {
        fresh.kinds[k].on = fresh.kinds[k].asked = false;
        fresh.kinds[k].rate = kind_infos[k].default_rate;
    }
    bool any = false;
    unsigned bad = 0;
    while (n > 0) {
        const char *item;
        size_t len = next_item(&s, &n, &item);
        if (len == 0)
            continue;
        bool known = kind_item(&fresh, item, len, quiet || bad >= MAX_COMPLAINTS);
        any |= known;
        bad += !known;
    }
    if (any)
        *o = fresh;
    return any || !quiet ? NULL : "a list of profile types";
}

/* The other rows. */

static const char *option_out(struct options *o, const char *s, size_t n, bool quiet) {
    for (size_t i = 0; i < n && n < sizeof o->out; i++)
        if (s[i] == '%' && (++i == n || !memchr("epknth%", s[i], 7)))
            return "a file pattern: after a % comes e, p, k, n, t, h or %";
    return copy(o->out, sizeof o->out, s, n) ? NULL : "a file pattern of at most 511 bytes";
}

/* Faults cannot be told from the host's own, 32 and 33 belong to libc, KILL and STOP to the kernel.
 */
static const char *option_signal(struct options *o, const char *s, size_t n, bool quiet) {
    static const int refused[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE,
                                  SIGILL,  SIGTRAP, SIGSYS,  32,     33};
    int sig = option_signal_number(s, n);
    bool none = equal(s, n, "none");
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++)
        if (sig == refused[i])
            sig = 0;
    if (!none && !sig)
        return "a signal that can be caught, like USR2 or 12, or none";
    o->signal = none ? SIGNAL_NONE : sig;
    return NULL;
}

static const char *option_exit(struct options *o, const char *s, size_t n, bool quiet) {
    static const char *const words[] = {"0", "1", "term", NULL};
    unsigned i;
    if (!one_of(s, n, words, &i))
        return "0, 1 or term";
    o->exit = (enum exit_mode)i;
    return NULL;
}

static const char *option_every(struct options *o, const char *s, size_t n, bool quiet) {
    uint64_t ns = 0;
    if (!equal(s, n, "off") &&
        (!option_duration(s, n, &ns) || ns < second / 10 || ns > 86400 * second))
        return "a time from 100ms to 24h, like 30s or 5m, or off";
    o->every_ns = ns;
    return NULL;
}

static bool is_host_port(const char *s, size_t n) {
    static const struct unit plain[] = {{"", 1}, {0}};
    size_t colon = n;
    while (colon > 0 && s[colon - 1] != ':')
        colon--;
    uint64_t port;
    return colon > 1 && number(s + colon, n - colon, plain, &port) && port <= 65535;
}

static const char *option_http(struct options *o, const char *s, size_t n, bool quiet) {
    static const char right[] = "host:port, like 127.0.0.1:6060, or unix:/path, or off";
    if (equal(s, n, "off")) {
        o->http[0] = '\0';
        return NULL;
    }
    /* 107 bytes is the longest path of a Unix socket. */
    bool ok = n > 6 && equal(s, 6, "unix:/") ? n - 5 <= 107 : is_host_port(s, n);
    return ok && copy(o->http, sizeof o->http, s, n) ? NULL : right;
}

static const char *option_only(struct options *o, const char *s, size_t n, bool quiet) {
    return copy(o->only, sizeof o->only, s, n) ? NULL : "a list of globs of at most 255 bytes";
}

static const char *option_stack(struct options *o, const char *s, size_t n, bool quiet) {
    static const char *const words[] = {"auto", "fp", "cfi", "libunwind", NULL};
    unsigned i;
    if (!one_of(s, n, words, &i))
        return "auto, fp, cfi or libunwind";
    o->stack = (enum stack_engine)i;
    return NULL;
}

static const char *option_depth(struct options *o, const char *s, size_t n, bool quiet) {
    static const struct unit plain[] = {{"", 1}, {0}};
    uint64_t v;
    if (!number(s, n, plain, &v) || v < 4 || v > 2048)
        return "a number from 4 to 2048";
    o->depth = (unsigned)v;
    return NULL;
}

static const char *option_symbols(struct options *o, const char *s, size_t n, bool quiet) {
    static const char *const words[] = {"none", "names", NULL};
    unsigned i;
    if (!one_of(s, n, words, &i))
        return "names or none";
    o->names = i;
    return NULL;
}

static const char *option_memory(struct options *o, const char *s, size_t n, bool quiet) {
    uint64_t v;
    if (!option_bytes(s, n, &v) || v < 1u << 20 || v > (uint64_t)16 << 30)
        return "a number of bytes from 1m to 16g";
    o->memory = v;
    return NULL;
}

static const char *option_log(struct options *o, const char *s, size_t n, bool quiet) {
    static const char *const words[] = {"error", "warn", "info", "debug", NULL};
    unsigned i;
    if (!one_of(s, n, words, &i))
        return "error, warn, info or debug";
    o->log = (enum log_level)i;
    return NULL;
}

static const char *option_log_file(struct options *o, const char *s, size_t n, bool quiet) {
    if (equal(s, n, "stderr")) {
        o->log_file[0] = '\0';
        return NULL;
    }
    return copy(o->log_file, sizeof o->log_file, s, n) ? NULL
                                                       : "a path of at most 511 bytes, or stderr";
}

static const char *option_disable(struct options *o, const char *s, size_t n, bool quiet) {
    static const char *const words[] = {"0", "no", "off", "false", "1", "yes", "on", "true", NULL};
    unsigned i;
    if (!one_of(s, n, words, &i))
        return "0 or 1";
    o->off |= i >= 4;
    return NULL;
}

/* The table at work. */

#define OPTION(variable, default_text, parser, help) ROW_##variable,
enum { OPTIONS(OPTION) ROWS };
#undef OPTION

static const struct {
    const char *variable, *default_text;
    const char *(*parse)(struct options *o, const char *s, size_t n, bool quiet);
} rows[] = {
#define OPTION(variable, default_text, parser, help) {#variable, default_text, parser},
    OPTIONS(OPTION)
#undef OPTION
};

/* The value of an environment entry when it is that variable. */
static const char *value_in(const char *entry, const char *variable) {
    size_t n = strlen(variable);
    return strncmp(entry, variable, n) == 0 && entry[n] == '=' ? entry + n + 1 : NULL;
}

/* As getenv: the first one counts. An empty value is as good as none. */
static const char *value_of(char *const *envp, unsigned row) {
    for (; envp && *envp; envp++) {
        const char *value = value_in(*envp, rows[row].variable);
        if (value)
            return *value ? value : NULL;
    }
    return NULL;
}

static void row_parse(struct options *o, char *const *envp, unsigned row, bool quiet) {
    const char *value = value_of(envp, row);
    const char *right = value ? rows[row].parse(o, value, strlen(value), quiet) : NULL;
    if (!right || quiet)
        return;
    struct log_line l;
    log_begin(&l, LOG_WARN, rows[row].variable);
    quote(&l.text, value, strlen(value));
    text_str(&l.text, " is not ");
    text_str(&l.text, right);
    text_str(&l.text, "; using ");
    text_str(&l.text, rows[row].default_text);
    log_end(&l);
}

static bool is_option(const char *name, size_t n) {
    for (unsigned row = 0; row < ROWS; row++)
        if (strlen(rows[row].variable) == n && memcmp(rows[row].variable, name, n) == 0)
            return true;
    return false;
}

static void say_unknown_variable(const char *name, size_t n) {
    struct guess g = {0};
    for (unsigned row = 0; row < ROWS; row++)
        guess(&g, name, n, rows[row].variable);
    struct log_line l;
    log_begin(&l, LOG_WARN, "environment");
    text_str(&l.text, "unknown option ");
    quote(&l.text, name, n);
    did_you_mean(&l.text, &g);
    text_str(&l.text, "; it is ignored");
    log_end(&l);
}

static void check_variables(char *const *envp) {
    for (unsigned bad = 0; envp && *envp && bad < MAX_COMPLAINTS; envp++) {
        const char *eq = strchr(*envp, '=');
        if (!eq || strncmp(*envp, "CPROF_", 6) != 0 || is_option(*envp, (size_t)(eq - *envp)))
            continue;
        say_unknown_variable(*envp, (size_t)(eq - *envp));
        bad++;
    }
}

static bool only_matches(const char *only, const char *exe) {
    size_t n = strlen(only);
    while (n > 0) {
        const char *glob;
        size_t len = next_item(&only, &n, &glob);
        if (len > 0 && glob_match(glob, len, exe))
            return true;
    }
    return false;
}

static void set_defaults(struct options *o) {
    memset(o, 0, sizeof *o);
    for (unsigned row = 0; row < ROWS; row++)
        rows[row].parse(o, rows[row].default_text, strlen(rows[row].default_text), true);
    for (unsigned k = 0; k < KIND_COUNT; k++)
        o->kinds[k].asked = false;
    o->signal = SIGNAL_AUTO; /* naming USR2 insists on it, the default does not */
}

void options_parse(struct options *o, char *const *envp, const char *exe) {
    set_defaults(o);
    /* First, quietly, what decides whether and where anything is said. A process that is not to be
     * profiled is not to be told about a typing mistake either. */
    row_parse(o, envp, ROW_CPROF_LOG, true);
    row_parse(o, envp, ROW_CPROF_LOG_FILE, true);
    row_parse(o, envp, ROW_CPROF_DISABLE, true);
    row_parse(o, envp, ROW_CPROF_ONLY, true);
    log_to.level = o->log;
    memcpy(log_to.path, o->log_file, sizeof log_to.path);
    o->off |= !only_matches(o->only, exe ? exe : "");
    if (o->off)
        return;
    for (unsigned row = 0; row < ROWS && !o->off; row++)
        row_parse(o, envp, row, false);
    if (!o->off)
        check_variables(envp);
}

void options_print(const struct options *o, char *const *envp, struct text *t) {
    size_t before = t->len;
    for (unsigned row = 0; row < ROWS; row++) {
        struct options scratch = *o;
        const char *value = value_of(envp, row);
        if (!value || strcmp(value, rows[row].default_text) == 0 ||
            rows[row].parse(&scratch, value, strlen(value), true))
            continue;
        if (t->len > before)
            text_char(t, ' ');
        text_str(t, rows[row].variable);
        text_char(t, '=');
        printable(t, value, strlen(value));
    }
}
