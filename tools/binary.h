#pragma once
/*
 * What the loader will make of a program: decides whether a preloaded library can reach it. Read
 * from the file only; nothing is run.
 */
#include <stdbool.h>
#include <stddef.h>

enum binary_trouble {
    BINARY_FINE,
    BINARY_MISSING,     /* no such program */
    BINARY_UNREADABLE,  /* there, but not for us */
    BINARY_STATIC,      /* no program interpreter: nothing is preloaded */
    BINARY_WRONG_CLASS, /* 32-bit or another machine: the loader skips our library */
    BINARY_MUSL,        /* another libc: its loader would fail on our library */
    BINARY_PRIVILEGED,  /* setuid, setgid or file capabilities: the loader ignores LD_PRELOAD */
};

struct binary {
    enum binary_trouble trouble;
    char path[4096];       /* as found on PATH */
    char runs[4096];       /* the ELF file that runs: of a script, its interpreter */
    char build_id[64 + 1]; /* empty: none */
    bool is_script;
    bool has_symtab, has_dynsym, has_debugdata, has_dwarf;
    bool has_sanitizer; /* needs a sanitizer's runtime */
};

/* program as typed: looked up on PATH when it holds no '/'. */
void binary_inspect(struct binary *ret_binary, const char *program);
/* A sentence about the trouble into buf, "" when fine; returns buf. */
char *binary_explain(const struct binary *b, char *buf, size_t n);
