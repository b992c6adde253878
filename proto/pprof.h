#pragma once
/*
 * A snapshot as the bytes that every pprof reader takes, and back: gzipped protobuf, schema in
 * profile.proto. The writer obeys every rule of docs/format.md and streams: memory does not grow
 * with the profile. Uses malloc (zlib's window, the string table), raw write(2) and nothing else of
 * libc that locks, so the agent may call it anywhere it may call dump().
 */
#include <stddef.h>

#include "common/snapshot.h"

/* The comment that names the profile type: mutex and block, heap and allocs have the same sample
 * types. The writer adds it for a snapshot with a kind, the reader takes it out again. */
#define KIND_COMMENT "#kind="

/* Writes to a file or socket that is open for writing: 0 or -errno. *ret_bytes (may be NULL): bytes
 * written. */
int pprof_write(const struct snapshot *s, int fd, size_t *ret_bytes);

/* Decodes n bytes, gzipped or plain. 0, -EINVAL (*ret_why, static text, says what is wrong) or
 * -ENOMEM. *ret_snapshot is written only on success; free it with snapshot_done(). */
int pprof_read(const void *bytes, size_t n, struct snapshot *ret_snapshot, const char **ret_why);
