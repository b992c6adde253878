#pragma once
/*
 * ANYWHERE. Call frame information (.eh_frame): how the registers of a caller follow from those of
 * the function it called, for every instruction. Nothing here knows where bytes come from: all of
 * it works on a bounded span and checks each read, so a library that is replaced under us, or bytes
 * that never were unwind tables, give a wrong answer at worst.
 *
 * Three layers: cfi_entry is one function's record with the record it shares (parsed), cfi_row is
 * what holds for a range of its instructions (interpreted), a rule is 28 bits of that which most
 * frames need (packed). x86-64: register numbers are those of its ABI's DWARF table.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CFI_RBX = 3,
    CFI_RBP = 6,
    CFI_RSP = 7,
    CFI_R12 = 12,
    CFI_R15 = 15,
    CFI_RA = 16,
    CFI_REGS = 17
};

/* Bytes, and the address at which the host has the first of them. */
struct cfi_bytes {
    const uint8_t *at;
    size_t n;
    uint64_t address;
};

/* Offsets count from the first of the bytes that the record was parsed from. */
struct cfi_part {
    uint32_t from, to;
};

struct cfi_entry {
    struct cfi_bytes bytes;
    uint64_t start, end; /* instructions covered */
    uint64_t code_align;
    int64_t data_align;
    struct cfi_part shared, own; /* programs */
    uint8_t ra;
    bool signal;    /* the frame of a signal trampoline */
    bool augmented; /* records have a length of more data */
    uint8_t encoding;
};

enum cfi_how {
    CFI_SAME,      /* the caller's value is still in the register */
    CFI_UNDEFINED, /* lost; for RA: there is no caller */
    CFI_AT,        /* in memory at CFA + value */
    CFI_SUM,       /* CFA + value */
    CFI_IN,        /* in register `value` */
    CFI_AT_EXPR,   /* in memory at the result of the expression at offset `value` */
    CFI_EXPR,      /* the result of the expression itself */
};

struct cfi_row {
    uint64_t start, end; /* instructions it holds for */
    enum cfi_how cfa;    /* CFI_SUM: register + offset; CFI_EXPR */
    uint8_t cfa_reg;
    int32_t cfa_value;
    uint8_t how[CFI_REGS]; /* enum cfi_how */
    int32_t value[CFI_REGS];
};

/* In a function that installs the registers of a landing pad: only those save rax and rdx (0, 1).
 */
static inline bool cfi_row_lands(const struct cfi_row *row) {
    return row->how[0] == CFI_AT && row->how[1] == CFI_AT;
}

/*
 * A rule: kind, CFA offset / 8, and (CFA - address of the saved RBP) / 8, 0 meaning that RBP is the
 * caller's. The return address is at CFA - 8. What does not fit is CFI_FULL: interpret anew, all
 * registers.
 */
enum cfi_kind {
    CFI_NOTHING,
    CFI_BY_SP,
    CFI_BY_BP,
    CFI_ROOT,
    CFI_TRAMPOLINE,
    CFI_BY_FRAME,
    CFI_FULL,
    CFI_PLT
};
enum { CFI_RULE_BITS = 28, CFI_CFA_MAX = (1 << 15) - 1, CFI_BP_MAX = (1 << 10) - 1 };

static inline uint32_t cfi_rule(enum cfi_kind kind, uint32_t cfa, uint32_t bp) {
    return kind | cfa << 3 | bp << 18;
}
static inline enum cfi_kind cfi_kind(uint32_t rule) { return rule & 7; }
static inline uint32_t cfi_cfa_bytes(uint32_t rule) { return (rule >> 3 & CFI_CFA_MAX) << 3; }
static inline uint32_t cfi_bp_bytes(uint32_t rule) { return (rule >> 18 & CFI_BP_MAX) << 3; }

/* The record at that offset: 1, 0 if there is one that describes no code (a shared record), -1 at
 * the end or at garbage. *ret_next is the offset behind it. The shared record is taken from `bytes`
 * too. */
int cfi_entry_parse(struct cfi_bytes bytes, size_t at, struct cfi_entry *e, size_t *ret_next);
/* The record that functions share, at that offset of e->bytes: fills in all but what is a function's
 * own. False at garbage and at forms unknown here. */
bool cfi_shared_parse(struct cfi_entry *e, size_t at);
/* Brings a function's record and the one it shares together in buf, for bytes that cannot be parsed
 * where they are: read copies up to n bytes of the host and says how many. Bytes with n == 0: there
 * is no such record. */
typedef size_t cfi_read_fn(void *arg, uint64_t address, void *to, size_t n);
struct cfi_bytes cfi_entry_gather(uint64_t address, uint8_t *buf, size_t cap, cfi_read_fn *read,
                                  void *arg, size_t *ret_at);

/* Called for each row in order; false ends. */
typedef bool cfi_row_fn(const struct cfi_entry *e, const struct cfi_row *row, void *arg);
/* True if the programs ran to their end or to where fn stopped them, false at garbage. */
bool cfi_entry_rows(const struct cfi_entry *e, cfi_row_fn *fn, void *arg);
/* The row that holds at pc. */
bool cfi_entry_row(const struct cfi_entry *e, uint64_t pc, struct cfi_row *ret_row);
/* 28 bits of it, for that pc: PLT stubs are resolved. */
uint32_t cfi_pack(const struct cfi_entry *e, const struct cfi_row *row, uint64_t pc);

/* Registers by number, those we have. load reads 8 bytes of the host. */
struct cfi_machine {
    uint64_t reg[CFI_REGS];
    uint32_t known; /* a bit for each */
    bool (*load)(void *arg, uint64_t address, uint64_t *ret_word);
    void *arg;
};

/* Evaluates the expression at that offset (its length comes first). push_cfa: the CFA lies on its
 * stack. */
bool cfi_expr(struct cfi_bytes bytes, uint32_t at, const struct cfi_machine *m,
              const uint64_t *push_cfa, uint64_t *ret_value);
/* If it is the one in PLT sections: the offset within a 16-byte stub from which on one word more is
 * pushed. */
bool cfi_expr_is_plt(struct cfi_bytes bytes, uint32_t at, unsigned *ret_from);

enum cfi_step { CFI_STEP_OK, CFI_STEP_ROOT, CFI_STEP_UNKNOWN_REGISTER, CFI_STEP_BAD };
/* Registers of the caller, by a row in full. */
enum cfi_step cfi_step(const struct cfi_entry *e, const struct cfi_row *row, struct cfi_machine *m);

/*
 * Whole sections, for code whose records cannot be read in place: rows of 8 bytes, sorted. A gap
 * between functions is a row CFI_BY_FRAME.
 */
struct cfi_table_row {
    uint32_t pc; /* offset from base */
    uint32_t rule;
};

struct cfi_table {
    uint64_t base;
    uint32_t n;
    struct cfi_table_row *rows;
    size_t mapped; /* bytes behind rows, as the allocator gave them */
};

/* Memory for scratch and rows: sys_map() or a test's own; zeroed. */
typedef void *cfi_alloc_fn(size_t n);
typedef void cfi_free_fn(void *p, size_t n);

/* Reads n bytes that the host has at `address`. 0 or -errno. */
int cfi_build(const uint8_t *eh_frame, size_t n, uint64_t address, struct cfi_table *out,
              cfi_alloc_fn *alloc, cfi_free_fn *release);
/* The rule at pc; CFI_BY_FRAME outside. PLT rows are resolved. */
uint32_t cfi_table_find(const struct cfi_table *t, uint64_t pc);
