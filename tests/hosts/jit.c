/*
 * Makes code at run time as LLVM does: functions without frame pointers, whose unwind tables are
 * registered with __register_frame. Also a library (jit_plugin.so), for a program that gets its
 * registrar late and for itself (jit_late).
 *
 *     burn MS     spends the time in such a function
 *     reuse MS    the same place is used by functions with frames of other sizes, in turn
 *     storm MS    four threads that make, register, call and throw away
 *     ask         what the unwinder says about the code, before, meanwhile and after
 */
#include "host.h"

#include <sys/mman.h>

extern void __register_frame(void *begin);
extern void __deregister_frame(void *begin);
struct bases {
    void *text, *data, *function;
};
extern const void *_Unwind_Find_FDE(void *pc, struct bases *b);

int jit_main(int argc, char **argv);

enum { PAGE = 4096, CODE = 0, TABLE = 2048 };
typedef void jit_fn(uint64_t rounds);

static uint8_t *put(uint8_t *at, const void *bytes, size_t n) {
    memcpy(at, bytes, n);
    return at + n;
}
#define PUT(at, text) ((at) = put(at, text, sizeof(text) - 1))

/* push rbp; mov ebp, 0x1235; push rbx; sub rsp, room; mov rbx, rdi; 1: dec rbx; jnz 1b; add rsp,
 * room; pop rbx; pop rbp; ret */
static size_t write_code(uint8_t *code, int32_t room) {
    uint8_t *at = code;
    PUT(at, "\x55\xbd\x35\x12\x00\x00\x53\x48\x81\xec");
    at = put(at, &room, sizeof room);
    PUT(at, "\x48\x89\xfb\x48\xff\xcb\x75\xfb\x48\x81\xc4");
    at = put(at, &room, sizeof room);
    PUT(at, "\x5b\x5d\xc3");
    return (size_t)(at - code);
}

/* One shared record, one function's, and the zero behind them. */
static void write_table(uint8_t *table, const uint8_t *code, size_t n, int32_t room) {
    static const uint8_t shared[] = {20, 0,    0,  0, 0,    0,    0, 0, 1,    'z', 'R', 0,
                                     1,  0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1,   0,   0};
    uint8_t *at = put(table, shared, sizeof shared), *own = at;
    uint32_t length = 0, back = (uint32_t)(at + 4 - table), size = (uint32_t)n;
    at = put(at, &length, 4);
    at = put(at, &back, 4);
    int32_t to_code = (int32_t)(code - at);
    at = put(at, &to_code, 4);
    at = put(at, &size, 4);
    PUT(at, "\0"
            "\x41\x0e\x10\x86\x02" /* behind push rbp: CFA rsp+16, rbp at CFA-16 */
            "\x46\x0e\x18\x83\x03" /* behind push rbx: CFA rsp+24, rbx at CFA-24 */
            "\x47\x0e");
    uint32_t cfa = 24 + (uint32_t)room;
    for (; cfa >= 128; cfa >>= 7)
        *at++ = (uint8_t)(cfa | 128);
    *at++ = (uint8_t)cfa;
    PUT(at, "\x02\x0f\x0e\x18\x41\x0e\x10\x41\x0e\x08"); /* advance 15, and back down */
    while ((at - own) % 4)
        *at++ = 0;
    length = (uint32_t)(at - own) - 4;
    memcpy(own, &length, 4);
    memset(at, 0, 4);
}

static jit_fn *make(void *where, int32_t room) {
    uint8_t *page = mmap(where, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
                         MAP_PRIVATE | MAP_ANONYMOUS | (where ? MAP_FIXED : 0), -1, 0);
    if (page == MAP_FAILED)
        exit(3);
    size_t n = write_code(page + CODE, room);
    write_table(page + TABLE, page + CODE, n, room);
    __register_frame(page + TABLE);
    return (jit_fn *)(void *)page;
}

static void *throw_away(jit_fn *fn) {
    uint8_t *page = (uint8_t *)(void *)fn;
    __deregister_frame(page + TABLE);
    munmap(page, PAGE);
    return page;
}

static double cpu_ms(void) { return (double)thread_ns() / 1e6; }

static __attribute__((noinline)) void jit_caller(jit_fn *fn, uint64_t rounds) {
    fn(rounds);
    __asm__ volatile("");
}

static void burn(double ms) {
    jit_fn *fn = make(NULL, 0x40);
    for (double end = cpu_ms() + ms; cpu_ms() < end;)
        jit_caller(fn, 3000000);
    UNTIL_A_TICK(jit_caller(fn, 500000));
    throw_away(fn);
}

static void reuse(double ms) {
    void *place = NULL;
    double end = cpu_ms() + ms;
    for (int i = 0; cpu_ms() < end; i++) {
        jit_fn *fn = make(place, 16 * (1 + i % 40));
        for (double pause = cpu_ms() + 20; cpu_ms() < pause;)
            jit_caller(fn, 1000000);
        UNTIL_A_TICK(jit_caller(fn, 500000));
        place = throw_away(fn);
    }
}

static void *storm_thread(void *arg) {
    double end = cpu_ms() + *(double *)arg;
    for (int i = 0; cpu_ms() < end; i++) {
        jit_fn *fn = make(NULL, 16 * (1 + i % 40));
        jit_caller(fn, 20000);
        throw_away(fn);
    }
    return NULL;
}

static void storm(double ms) {
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, storm_thread, &ms);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
}

static void ask(double ms) {
    struct bases b;
    uint8_t *page = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("before %d\n", _Unwind_Find_FDE(page + 3, &b) != NULL);
    jit_fn *fn = make(page, 16);
    printf("meanwhile %d\n", _Unwind_Find_FDE(page + 3, &b) == page + TABLE + 24);
    throw_away(fn);
    printf("after %d\n", _Unwind_Find_FDE(page + 3, &b) != NULL);
}

int jit_main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*fn)(double ms);
    } modes[] = {{"burn", burn}, {"reuse", reuse}, {"storm", storm}, {"ask", ask}};
    for (size_t i = 0; argc > 1 && i < sizeof modes / sizeof modes[0]; i++)
        if (strcmp(argv[1], modes[i].name) == 0) {
            modes[i].fn(argc > 2 ? atof(argv[2]) : 0);
            puts("done");
            return 0;
        }
    return 2;
}
