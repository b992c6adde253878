#pragma once
/*
 * The libraries behind symbols/, loaded privately at run time: libelf by design D1, liblzma when
 * the system has it. Pointers are NULL until elf_library_load(); they never change afterwards.
 */
#include <gelf.h>
#include <libelf.h>
#include <stdint.h>

/* clang-format off */
#define LIBELF(F) \
    F(elf_version) F(elf_begin) F(elf_memory) F(elf_end) F(elf_getident) F(elf_getscn) F(elf_nextscn) \
    F(elf_getshdrstrndx) F(elf_strptr) F(gelf_getshdr) F(elf_getphdrnum) F(gelf_getphdr)
/* clang-format on */

/* lzma_stream_buffer_decode() of liblzma 5; its header is not needed for one function. 0 is
 * LZMA_OK. */
typedef int lzma_decode_fn(uint64_t *memory_limit, uint32_t flags, const void *allocator,
                           const uint8_t *in, size_t *in_pos, size_t in_size, uint8_t *out,
                           size_t *out_pos, size_t out_size);

struct libelf {
#define MEMBER(name) __typeof__(name) *name;
    LIBELF(MEMBER)
#undef MEMBER
    lzma_decode_fn *lzma_decode; /* NULL: no .gnu_debugdata */
};

extern struct libelf libelf;

/* CALM. 0, -ENOENT without a usable libelf. Calling again is cheap. */
int elf_library_load(void);
