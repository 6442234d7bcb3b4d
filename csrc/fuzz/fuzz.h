/* What a fuzz target needs: numbers and buffers made of the fuzzer's bytes, and what a kernel must keep.
 *
 * Each buffer lies in a block of exactly its size, so that AddressSanitizer sees the first byte beyond it. A kernel is
 * called in each of its forms, and
 *   - refuses what the header forbids: NULL, sizes under 1 or above UVLM_MOST, forms that are not there;
 *   - never writes what it only reads, and writes nothing at all when it refuses;
 *   - gives the same bits in every form (SAME), or at least the same status (LOOSE).
 *
 * targets.h says how to add a kernel. */
#ifndef UVLM_FUZZ_H
#define UVLM_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { NO_FORMS, SAME, LOOSE };
/* MAYBE: read, and NULL is no reason to refuse. FREE: whatever becomes of it. */
enum { READ, MAYBE, WRITTEN, SCRATCH, FREE };

/* Fill a record: zeros up to the first number, then int32 numbers from the fuzzer, most of them small. */
void fuzz_numbers(void *record, size_t size, size_t first);

/* One such number. */
int32_t fuzz_number(void);

/* One byte of the fuzzer's. */
uint8_t fuzz_byte(void);

/* x as a factor of a buffer's size. The kernel must refuse it below 1 and above UVLM_MOST. */
double fuzz_size(int32_t x);

/* A buffer of that many numbers of that width, filled by the fuzzer; now and then NULL, which must be refused. */
void *fuzz_buffer(double count, size_t width, int use);

/* x as a number of things from 1 to most; 0 where the kernel must refuse it. */
int32_t fuzz_few(int32_t x, int32_t most);

/* Room for so many pointers, to be filled by the target. */
void *fuzz_pointers(int32_t count);

/* Whether all buffers so far have their full sizes. */
int fuzz_fits(void);

/* Whether to call the kernel: not if its buffers are allowed and too large to be tried, or it would take too long. */
int fuzz_ready(double work);

/* The next form to call, in that order: -1 for the kernel's own choice, then each. 0 after the last. */
int fuzz_next(int *form, int forms);

/* Look at what a call has done, and stop the program if that is wrong. */
void fuzz_judge(int form, int forms, int status);

void fuzz_add(const char *name, void (*run)(void));

/* For targets.h. */
#define N(number) fuzz_size(r.number)
#define V(number) ((double)r.number)
#define FIELD(pointer, count) r.pointer = fuzz_buffer(count, sizeof *r.pointer, READ);
#define OPTIONAL(pointer, count) \
    if (fuzz_byte() & 1) r.pointer = fuzz_buffer(count, sizeof *r.pointer, MAYBE);
#define IN(type, name, count) const type *name = fuzz_buffer(count, sizeof(type), READ);
#define OUT(type, name, count) type *name = fuzz_buffer(count, sizeof(type), WRITTEN);
#define WORK(type, name, count) type *name = fuzz_buffer(count, sizeof(type), SCRATCH);
#define NUMBER(name) int32_t name = fuzz_number();
#define LONG(amount) work = amount;

#define OF_NO_FORMS(name, ...) uvlm_##name(__VA_ARGS__)
#define OF_SAME(name, ...) (form < 0 ? uvlm_##name(__VA_ARGS__) : uvlm_##name##_as(form, __VA_ARGS__))
#define OF_LOOSE OF_SAME

#define TARGET(name, record, first, forms, memory, ...)                                                        \
    static void fuzz_##name(void) {                                                                            \
        record r;                                                                                              \
        double work = 1;                                                                                       \
        int kind = forms;                                                                                      \
        fuzz_numbers(&r, sizeof r, offsetof(record, first));                                                   \
        memory;                                                                                                \
        if (!fuzz_ready(work)) return;                                                                         \
        for (int form = -2; fuzz_next(&form, kind);) fuzz_judge(form, kind, OF_##forms(name, __VA_ARGS__));    \
    }                                                                                                          \
    __attribute__((constructor)) static void add_##name(void) { fuzz_add(#name, fuzz_##name); }

#endif
