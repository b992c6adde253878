#pragma once
/* CALM. Shared by the doors of process.c and the one written in assembly. */

/* The host is about to install a seccomp filter. */
void process_before_seccomp(void) __attribute__((visibility("hidden")));
