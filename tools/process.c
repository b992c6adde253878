#include "tools/process.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/file.h"

static int read_proc(pid_t pid, const char *name, struct file *ret_file) {
    char path[400];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return file_read(path, ret_file);
}

/* The text behind "Key:", up to the end of the line; "" when the key is missing. */
static const char *field(const struct file *status, const char *key) {
    size_t n = strlen(key);
    for (const char *l = status->bytes; l; l = strchr(l, '\n')) {
        l += *l == '\n';
        if (strncmp(l, key, n) == 0 && l[n] == ':')
            return l + n + 1;
    }
    return "";
}

static unsigned long field_number(const struct file *status, const char *key) {
    return strtoul(field(status, key), NULL, 10);
}

static uint64_t field_set(const struct file *status, const char *key) {
    return strtoull(field(status, key), NULL, 16);
}

/* NSpid lists the number in every namespace, the innermost last. */
static pid_t last_number(const char *list, pid_t otherwise) {
    pid_t last = otherwise;
    while (*list == '\t' || *list == ' ') {
        char *end;
        long v = strtol(list, &end, 10);
        if (end == list)
            break;
        last = (pid_t)v;
        list = end;
    }
    return last;
}

static void read_status(struct process *p, const struct file *status) {
    p->threads = (unsigned)field_number(status, "Threads");
    p->caught = field_set(status, "SigCgt");
    p->ignored = field_set(status, "SigIgn");
    p->seccomp = (int)field_number(status, "Seccomp");
    p->no_new_privs = field_number(status, "NoNewPrivs") != 0;
    p->inner_pid = last_number(field(status, "NSpid"), p->pid);
    sscanf(field(status, "SigQ"), "%lu/%lu", &p->queued, &p->queue_limit);
}

/* A process signal waits only while every thread blocks it. */
static uint64_t blocked_by_all(pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *d = opendir(path);
    if (!d)
        return 0;
    uint64_t all = ~(uint64_t)0;
    for (struct dirent *e; (e = readdir(d));) {
        struct file status;
        char name[300];
        snprintf(name, sizeof name, "task/%s/status", e->d_name);
        if (e->d_name[0] == '.' || read_proc(pid, name, &status) < 0)
            continue;
        all &= field_set(&status, "SigBlk");
        file_done(&status);
    }
    closedir(d);
    return all;
}

static void take_library(struct process *p, const char *path, size_t n) {
    if (n < sizeof p->library)
        snprintf(p->library, sizeof p->library, "%.*s", (int)n, path);
}

static void read_maps(struct process *p) {
    struct file maps;
    int r = read_proc(p->pid, "maps", &maps);
    p->unreadable = r == -EACCES || r == -EPERM;
    if (r < 0)
        return;
    for (const char *l = maps.bytes; l && *l;) {
        size_t n = strcspn(l, "\n");
        const char *path = memchr(l, '/', n);
        if (path) {
            size_t len = n - (size_t)(path - l);
            const char *base = path;
            for (const char *c = path; c < path + len; c++)
                if (*c == '/')
                    base = c + 1;
            size_t left = (size_t)(path + len - base);
            if (left >= 11 && memcmp(base, "libcprof.so", 11) == 0 && !p->library[0])
                take_library(p, path, len);
            p->has_jvm |= left >= 9 && memcmp(base, "libjvm.so", 9) == 0;
        }
        l += n + (l[n] == '\n');
    }
    file_done(&maps);
}

static void read_link(pid_t pid, const char *name, char *to, size_t n) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    ssize_t len = readlink(path, to, n - 1);
    to[len > 0 ? len : 0] = '\0';
}

int process_read(struct process *ret_process, pid_t pid) {
    struct process p = {.pid = pid, .inner_pid = pid};
    struct file status;
    if (read_proc(pid, "status", &status) < 0)
        return -ESRCH;
    read_status(&p, &status);
    file_done(&status);
    p.blocked = blocked_by_all(pid);
    read_link(pid, "exe", p.exe, sizeof p.exe);
    read_maps(&p);
    *ret_process = p;
    return 0;
}

char *process_variable(pid_t pid, const char *name) {
    struct file env;
    if (read_proc(pid, "environ", &env) < 0)
        return NULL;
    size_t n = strlen(name);
    char *value = NULL;
    for (size_t i = 0; i < env.n && !value; i += strlen(env.bytes + i) + 1)
        if (strncmp(env.bytes + i, name, n) == 0 && env.bytes[i + n] == '=')
            value = strdup(env.bytes + i + n + 1);
    file_done(&env);
    return value;
}

/* A daemon has changed to / since; PWD in its first environment still says where its shell stood.
 */
void process_folder(pid_t pid, char *where) {
    char *pwd = process_variable(pid, "PWD");
    read_link(pid, "cwd", where, 4096);
    if (pwd && pwd[0] == '/' && strlen(pwd) < 4096 && (!where[0] || strcmp(where, "/") == 0))
        snprintf(where, 4096, "%s", pwd);
    free(pwd);
}

pid_t process_number(const char *text) {
    char *end;
    errno = 0;
    long v = strtol(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && !errno && v > 0 && v <= 0x7fffffff ? (pid_t)v
                                                                                       : -1;
}

bool process_secure(pid_t pid) {
    struct file auxv;
    bool secure = false;
    if (read_proc(pid, "auxv", &auxv) < 0)
        return false;
    for (size_t i = 0; i + sizeof(Elf64_auxv_t) <= auxv.n; i += sizeof(Elf64_auxv_t)) {
        Elf64_auxv_t a;
        memcpy(&a, auxv.bytes + i, sizeof a);
        secure |= a.a_type == AT_SECURE && a.a_un.a_val;
    }
    file_done(&auxv);
    return secure;
}
