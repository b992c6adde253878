#include "agent/cfi.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/sys.h"

/* A section made by hand: a shared record, one function's record at 0x1000..0x1100, the terminator.
 */
enum { AT = 0x10000, START = 0x1000, SIZE = 0x100 };

static uint8_t section[512];
static size_t n, own;

static void put(const void *bytes, size_t size) {
    memcpy(section + n, bytes, size);
    n += size;
}

static void put32(uint32_t v) { put(&v, 4); }

static size_t begin_record(void) {
    put32(0);
    return n;
}

static void end_record(size_t from) {
    while (n % 4)
        section[n++] = 0;
    uint32_t size = (uint32_t)(n - from);
    memcpy(section + from - 4, &size, 4);
}

static void put_shared(const char *letters, const char *augmentation, size_t size,
                       const char *program, size_t length) {
    n = 0;
    size_t from = begin_record();
    put32(0);
    put("\1", 1);
    put(letters, strlen(letters) + 1);
    put("\1\x78\x10", 3);
    put(augmentation, size);
    put(program, length);
    end_record(from);
}

static void put_own(bool augmented, const char *program, size_t length) {
    own = n;
    size_t from = begin_record();
    put32((uint32_t)n);
    put32(START - (uint32_t)(AT + n));
    put32(SIZE);
    if (augmented)
        put("", 1);
    put(program, length);
    end_record(from);
    put32(0);
}

/* CFA = rsp + 8, return address at CFA - 8, then this. */
static const char usual[] = "\x0c\x07\x08\x90\x01";
#define PROGRAM(text) \
    (put_shared("zR", "\1\x1b", 2, usual, 5), put_own(true, text, sizeof(text) - 1))

static struct cfi_bytes bytes(void) { return (struct cfi_bytes){section, n, AT}; }

static struct cfi_entry entry(void) {
    struct cfi_entry e;
    size_t next;
    cr_assert_eq(cfi_entry_parse(bytes(), own, &e, &next), 1);
    return e;
}

static struct cfi_row row_at(uint64_t offset) {
    struct cfi_entry e = entry();
    struct cfi_row r;
    cr_assert(cfi_entry_row(&e, START + offset, &r));
    return r;
}

static uint32_t rule_at(uint64_t offset) {
    struct cfi_entry e = entry();
    struct cfi_row r = row_at(offset);
    return cfi_pack(&e, &r, START + offset);
}

static bool is_garbage(void) {
    struct cfi_entry e;
    struct cfi_row r;
    size_t next;
    return cfi_entry_parse(bytes(), own, &e, &next) <= 0 || !cfi_entry_row(&e, START + 0x80, &r);
}

Test(cfi, an_entry_covers_its_instructions) {
    PROGRAM("");
    struct cfi_entry e = entry();
    cr_assert_eq(e.start, START);
    cr_assert_eq(e.end, START + SIZE);
    cr_assert_eq(e.data_align, -8);
    cr_assert_eq(e.ra, CFI_RA);
}

Test(cfi, push_rbp_and_mov_make_three_rows) {
    PROGRAM("\x41\x0e\x10\x86\x02\x43\x0d\x06");
    cr_assert_eq(rule_at(0), cfi_rule(CFI_BY_SP, 1, 0));
    cr_assert_eq(rule_at(1), cfi_rule(CFI_BY_SP, 2, 2));
    cr_assert_eq(rule_at(3), cfi_rule(CFI_BY_SP, 2, 2));
    cr_assert_eq(rule_at(4), cfi_rule(CFI_BY_BP, 2, 2));
    cr_assert_eq(rule_at(SIZE - 1), cfi_rule(CFI_BY_BP, 2, 2));
}

Test(cfi, every_form_of_advance) {
    PROGRAM("\x02\x10\x0e\x10"
            "\x03\x10\x00\x0e\x18"
            "\x04\x10\x00\x00\x00\x0e\x20"
            "\x1d\x10\0\0\0\0\0\0\0\x0e\x28");
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(row_at(0x10 * i).cfa_value, 8 + 8 * (int)i);
}

Test(cfi, set_loc_is_in_the_encoding_of_addresses) {
    PROGRAM("\x01\0\0\0\0\x0e\x10");
    uint32_t at = entry().own.from + 1, to = START + 0x40 - (AT + at);
    memcpy(section + at, &to, 4);
    cr_assert_eq(row_at(0x3f).cfa_value, 8);
    cr_assert_eq(row_at(0x40).cfa_value, 16);
}

Test(cfi, offsets_in_all_their_forms) {
    PROGRAM("\x83\x03"
            "\x05\x0c\x04"
            "\x11\x0d\x05"
            "\x2f\x0e\x06"
            "\x14\x0f\x07"
            "\x15\x06\x7f");
    struct cfi_row r = row_at(0);
    cr_assert_eq(r.value[3], -24);
    cr_assert_eq(r.value[12], -32);
    cr_assert_eq(r.value[13], -40);
    cr_assert_eq(r.value[14], 48);
    cr_assert_eq(r.value[15], -56);
    cr_assert_eq(r.how[15], CFI_SUM);
    cr_assert_eq(r.value[6], 8);
}

Test(cfi, signed_forms_of_the_frame_address) {
    PROGRAM("\x12\x06\x7e"
            "\x41\x13\x7d");
    cr_assert_eq(row_at(0).cfa_reg, CFI_RBP);
    cr_assert_eq(row_at(0).cfa_value, 16);
    cr_assert_eq(row_at(1).cfa_value, 24);
}

Test(cfi, same_undefined_and_another_register) {
    PROGRAM("\x08\x03"
            "\x07\x06"
            "\x09\x0c\x0d"
            "\x2e\x10");
    struct cfi_row r = row_at(0);
    cr_assert_eq(r.how[3], CFI_SAME);
    cr_assert_eq(r.how[6], CFI_UNDEFINED);
    cr_assert_eq(r.how[12], CFI_IN);
    cr_assert_eq(r.value[12], 13);
}

Test(cfi, restore_goes_back_to_the_shared_state) {
    PROGRAM("\x86\x02\x90\x05"
            "\x41\xc6\xd0"
            "\x41\x86\x03\x06\x06");
    cr_assert_eq(row_at(0).value[6], -16);
    cr_assert_eq(row_at(1).how[6], CFI_SAME);
    cr_assert_eq(row_at(1).value[CFI_RA], -8);
    cr_assert_eq(row_at(2).how[6], CFI_SAME);
}

Test(cfi, states_nest_eight_deep) {
    char program[128];
    unsigned at = 0;
    for (int i = 0; i < 8; i++) {
        program[at++] = 0x0a;
        program[at++] = 0x41;
        program[at++] = 0x0e;
        program[at++] = (char)(16 + 8 * i);
    }
    for (int i = 0; i < 8; i++) {
        program[at++] = 0x41;
        program[at++] = 0x0b;
    }
    put_shared("zR", "\1\x1b", 2, usual, 5);
    put_own(true, program, at);
    for (unsigned i = 0; i <= 8; i++) {
        cr_assert_eq(row_at(i).cfa_value, 8 + 8 * (int)i);
        cr_assert_eq(row_at(16 - i).cfa_value, 8 + 8 * (int)i);
    }
}

Test(cfi, an_undefined_return_address_is_the_root) {
    PROGRAM("\x07\x10");
    cr_assert_eq(cfi_kind(rule_at(0)), CFI_ROOT);
}

Test(cfi, what_28_bits_cannot_say_is_done_in_full) {
    PROGRAM("\x0d\x03"
            "\x41\x0c\x07\x09"
            "\x41\x0c\x07\x80\x80\x80\x01");
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(cfi_kind(rule_at(i)), CFI_FULL);
}

static const char plt[] = "\x0f\x0b\x77\x08\x80\x00\x3f\x1a\x3b\x2a\x33\x24\x22";

Test(cfi, a_plt_stub_has_pushed_from_its_eleventh_byte_on) {
    put_shared("zR", "\1\x1b", 2, usual, 5);
    put_own(true, plt, sizeof plt - 1);
    for (unsigned i = 0; i < 48; i++)
        cr_assert_eq(rule_at(i), cfi_rule(CFI_BY_SP, i % 16 < 11 ? 1 : 2, 0));
}

Test(cfi, letters_of_all_kinds) {
    static const char personality[] = "\7\x9b\1\2\3\4\x1b\x1b";
    put_shared("zPLR", personality, 8, usual, 5);
    put_own(true, "", 0);
    cr_assert_eq(entry().start, START);
    put_shared("zRS", "\1\x1b", 2, usual, 5);
    put_own(true, "", 0);
    cr_assert(entry().signal);
    cr_assert_eq(cfi_kind(rule_at(0)), CFI_TRAMPOLINE);
    put_shared("zRX", "\2\x1b\x99", 3, usual, 5);
    put_own(true, "", 0);
    cr_assert_eq(entry().start, START);
    put_shared("Q", "", 0, usual, 5);
    put_own(false, "", 0);
    cr_assert(is_garbage());
}

Test(cfi, an_instruction_nobody_knows_is_garbage) {
    PROGRAM("\x3f");
    cr_assert(is_garbage());
    PROGRAM("\x0b");
    cr_assert(is_garbage());
    PROGRAM("\x0f\xff\x01");
    cr_assert(is_garbage());
}

/* Expressions -------------------------------------------------------------------------------------
 */

static bool load(void *arg, uint64_t address, uint64_t *ret) {
    *ret = address + 1000;
    return address != 0;
}

static uint64_t evaluate(const char *expression, size_t length, bool *ret_ok) {
    uint8_t with[64];
    struct cfi_machine m = {
        .reg = {[3] = 30, [6] = 60, [7] = 70}, .known = 1 << 3 | 1 << 6 | 1 << 7, .load = load};
    uint64_t v = 0, cfa = 5;
    with[0] = (uint8_t)length;
    memcpy(with + 1, expression, length);
    *ret_ok = cfi_expr((struct cfi_bytes){with, length + 1, 0}, 0, &m, &cfa, &v);
    return v;
}

#define EXPR(text, value)                                                       \
    do {                                                                        \
        bool ok;                                                                \
        uint64_t v = evaluate(text, sizeof(text) - 1, &ok);                     \
        cr_assert(ok);                                                          \
        cr_assert_eq(v, (uint64_t)(value), "%d, not %d", (int)v, (int)(value)); \
    } while (0)
#define NO_EXPR(text)                          \
    do {                                       \
        bool ok;                               \
        evaluate(text, sizeof(text) - 1, &ok); \
        cr_assert_not(ok);                     \
    } while (0)

Test(cfi, expressions_compute) {
    EXPR("", 5);
    EXPR("\x76\x08", 68);
    EXPR("\x76\x78\x06", 1052);
    EXPR("\x08\xff\x09\xff\x22", 254);
    EXPR("\x0b\x00\x80\x23\x02", -32766);
    EXPR("\x10\x80\x01\x11\x7f\x1e", -128);
    EXPR("\x32\x33\x16\x1c", 1);
    EXPR("\x31\x32\x33\x17\x13\x13", 3);
    EXPR("\x32\x12\x24", 8);
    EXPR("\x37\x33\x2a\x33\x24", 8);
    EXPR("\x31\x28\x01\x00\x13\x34", 4);
    EXPR("\x2f\x01\x00\x13\x34", 4);
    EXPR("\x38\x92\x06\x04\x22", 72);
    EXPR("\x30\x1f\x20", -1);
}

Test(cfi, expressions_that_cannot_be_had) {
    NO_EXPR("\x70\x00");     /* a register nobody knows */
    NO_EXPR("\x13\x13");     /* an empty stack */
    NO_EXPR("\x30\x06");     /* memory that is not there */
    NO_EXPR("\x2f\xfd\xff"); /* round and round */
    NO_EXPR("\x2f\x00\x40"); /* out of the program */
    NO_EXPR("\xf0");         /* nothing known */
    NO_EXPR("\x08");         /* cut short */
}

Test(cfi, a_caller_by_expression_and_by_register) {
    PROGRAM("\x0d\x03"
            "\x10\x06\x02\x73\x08"
            "\x16\x0c\x02\x73\x10");
    struct cfi_entry e = entry();
    struct cfi_row r = row_at(0);
    struct cfi_machine m = {.reg = {[3] = 3000}, .known = 1 << 3, .load = load};
    cr_assert_eq(cfi_step(&e, &r, &m), CFI_STEP_OK);
    cr_assert_eq(m.reg[CFI_RSP], 3008);
    cr_assert_eq(m.reg[CFI_RA], 4000);
    cr_assert_eq(m.reg[CFI_RBP], 4008);
    cr_assert_eq(m.reg[12], 3016);
    m.known = 1 << 6;
    cr_assert_eq(cfi_step(&e, &r, &m), CFI_STEP_UNKNOWN_REGISTER);
}

/* Whole sections
 * ----------------------------------------------------------------------------------- */

Test(cfi, a_table_says_what_its_entries_say) {
    PROGRAM("\x41\x0e\x10\x86\x02\x43\x0d\x06\x41\x0c\x07\x08");
    struct cfi_table t;
    cr_assert_eq(cfi_build(section, n, AT, &t, sys_map, sys_unmap), 0);
    for (unsigned i = 0; i < SIZE; i++)
        cr_assert_eq(cfi_table_find(&t, START + i), rule_at(i));
    cr_assert_eq(cfi_kind(cfi_table_find(&t, START - 1)), CFI_BY_FRAME);
    cr_assert_eq(cfi_kind(cfi_table_find(&t, START + SIZE)), CFI_BY_FRAME);
}

Test(cfi, records_cut_anywhere_are_read_no_further) {
    PROGRAM("\x41\x0e\x10\x86\x02\x43\x0d\x06\x0f\x0b\x77\x08\x80\x00\x3f\x1a\x3b\x2a\x33\x24\x22");
    for (size_t cut = 0; cut < n; cut++) {
        uint8_t *copy = malloc(cut + 1);
        struct cfi_table t;
        memcpy(copy, section, cut);
        cfi_build(copy, cut, AT, &t, sys_map, sys_unmap);
        free(copy);
    }
}

struct found {
    const uint8_t *eh_frame;
    size_t n;
};

static int find_libc(struct dl_phdr_info *info, size_t size, void *arg) {
    struct found *f = arg;
    if (!strstr(info->dlpi_name, "libc.so"))
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_GNU_EH_FRAME) {
            const uint8_t *hdr = (const uint8_t *)info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            int32_t to;
            memcpy(&to, hdr + 4, 4);
            f->eh_frame = hdr + 4 + to;
        }
    for (int i = 0; f->eh_frame && i < info->dlpi_phnum; i++) {
        const uint8_t *lo = (const uint8_t *)info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        if (info->dlpi_phdr[i].p_type == PT_LOAD && f->eh_frame >= lo &&
            f->eh_frame < lo + info->dlpi_phdr[i].p_filesz)
            f->n = (size_t)(lo + info->dlpi_phdr[i].p_filesz - f->eh_frame);
    }
    return 1;
}

Test(cfi, the_table_of_libc_agrees_with_each_of_its_records) {
    struct found f = {0};
    struct cfi_table t;
    dl_iterate_phdr(find_libc, &f);
    cr_assert_gt(f.n, 0);
    struct cfi_bytes b = {f.eh_frame, f.n, (uintptr_t)f.eh_frame};
    cr_assert_eq(cfi_build(f.eh_frame, f.n, b.address, &t, sys_map, sys_unmap), 0);
    cr_assert_gt(t.n, 5000);
    size_t next, entries = 0;
    struct cfi_entry e;
    struct cfi_row r;
    int kind;
    for (size_t at = 0; (kind = cfi_entry_parse(b, at, &e, &next)) >= 0; at = next) {
        entries += kind > 0;
        for (uint64_t pc = e.start; kind > 0 && pc < e.end; pc += 1 + (e.end - e.start) / 16) {
            cr_assert(cfi_entry_row(&e, pc, &r));
            cr_assert_eq(cfi_table_find(&t, pc), cfi_pack(&e, &r, pc), "at %#lx",
                         (unsigned long)pc);
        }
    }
    cr_assert_gt(entries, 1000);
}

/* The strictest reader there is: readelf's own interpretation of libc, each of its rows. */
Test(cfi, rows_of_libc_are_those_that_readelf_prints) {
    struct found f = {0};
    struct cfi_table t;
    Dl_info info;
    char line[512], cfa[64];
    unsigned long pc;
    unsigned rows = 0, header = 0;
    dl_iterate_phdr(find_libc, &f);
    cr_assert(dladdr(f.eh_frame, &info));
    cr_assert_eq(cfi_build(f.eh_frame, f.n, (uintptr_t)f.eh_frame, &t, sys_map, sys_unmap), 0);
    snprintf(line, sizeof line, "readelf --debug-dump=frames-interp -W %s 2>/dev/null",
             info.dli_fname);
    FILE *in = popen(line, "r");
    cr_assert_not_null(in);
    while (fgets(line, sizeof line, in)) {
        header = strstr(line, "FDE") ? 1 : strstr(line, "CIE") ? 0 : header;
        if (!header || sscanf(line, "%16lx %63s", &pc, cfa) != 2 || strlen(cfa) < 5 ||
            line[16] != ' ')
            continue;
        int offset;
        char reg[8];
        if (sscanf(cfa, "%3[a-z]+%d", reg, &offset) != 2 ||
            (strcmp(reg, "rsp") && strcmp(reg, "rbp")))
            continue;
        uint32_t rule = cfi_table_find(&t, (uintptr_t)info.dli_fbase + pc);
        if (cfi_kind(rule) == CFI_BY_SP || cfi_kind(rule) == CFI_BY_BP) {
            cr_assert_eq(cfi_kind(rule), reg[2] == 'p' && reg[1] == 's' ? CFI_BY_SP : CFI_BY_BP,
                         "%s", line);
            cr_assert_eq((int)cfi_cfa_bytes(rule), offset, "%s", line);
            rows++;
        }
    }
    pclose(in);
    if (rows == 0)
        cr_skip_test("no readelf here");
    cr_assert_gt(rows, 10000);
}
