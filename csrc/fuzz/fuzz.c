/* libFuzzer's entry, and what fuzz.h promises. UVLM_FUZZ in the environment names the target; "list" lists them. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "../status.h"
#include "targets.h"
#include "targets_f32.h"
#include "targets_program.h"
/* after targets_f32.h, whose record it shares */
#include "targets_captioner.h"

enum { MOST_BUFFERS = 32, MOST_TARGETS = 128, MOST_BYTES = 1 << 19, MOST_WORK = 1 << 17, FORMS = 4 };

typedef struct {
    uint8_t *block, *data, *before, *result; /* the block that holds the data; copies */
    size_t bytes;
    int use;
} buffer;

static struct {
    const char *name;
    void (*run)(void);
} targets[MOST_TARGETS];
static int target_count, chosen;

static const uint8_t *input; /* and what is left of it */
static size_t left;
static uint64_t seed; /* for when nothing is left */
static buffer buffers[MOST_BUFFERS];
static int buffer_count, refused, too_large, first_status;
static size_t total;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

void fuzz_add(const char *name, void (*run)(void)) {
    if (target_count == MOST_TARGETS) abort();
    targets[target_count].name = name;
    targets[target_count++].run = run;
}

uint8_t fuzz_byte(void) {
    if (left) {
        left--;
        return *input++;
    }
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (uint8_t)(seed >> 56);
}

int32_t fuzz_number(void) {
    static const int32_t edges[] = {0,     -1,    1,     31,    32,    127,       128,       -128,     -129,
                                    255,   256,   257,   4096,  4097,  32768,     32769,     33025,    33026,
                                    65535, 65536, 65537, 1 << 30, INT32_MAX, INT32_MIN, INT32_MIN + 1};
    uint8_t kind = fuzz_byte();
    if (kind < 160) return kind % 10;
    if (kind < 216) return kind % 32;
    if (kind < 232) return kind - 344; /* -128 to -113 */
    if (kind < 248) return edges[fuzz_byte() % (sizeof edges / sizeof *edges)];
    uint32_t bits = 0;
    for (int i = 0; i < 4; i++) bits = bits << 8 | fuzz_byte();
    return (int32_t)bits;
}

void fuzz_numbers(void *record, size_t size, size_t first) {
    memset(record, 0, size);
    for (size_t at = first; at + 4 <= size; at += 4) {
        int32_t x = fuzz_number();
        memcpy((char *)record + at, &x, 4);
    }
}

double fuzz_size(int32_t x) {
    if (x < 1 || x > 65536) refused = 1;
    return x;
}

void *fuzz_buffer(double count, size_t width, int use) {
    if (buffer_count == MOST_BUFFERS) abort();
    uint8_t how = fuzz_byte();
    if (how == 255) {
        if (use != MAYBE) refused = 1;
        return NULL;
    }
    if (count < 0) count = 0;
    if (count * (double)width > MOST_BYTES - (double)total) {
        too_large = 1;
        count = 0; /* nothing of it may be touched */
    }
    buffer *b = &buffers[buffer_count++];
    size_t skip = width == 1 ? how & 3 : 0; /* bytes may begin anywhere, and nothing lies behind their end */
    b->bytes = (size_t)count * width;
    b->use = use;
    b->block = malloc(b->bytes + skip);
    b->data = b->block + skip;
    for (size_t i = 0; i < b->bytes;) {
        if (left) {
            b->data[i++] = fuzz_byte();
            continue;
        }
        size_t some = b->bytes - i < 8 ? b->bytes - i : 8;
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        memcpy(b->data + i, &seed, some);
        i += some;
    }
    if (how & 4) { /* all alike: how sums reach their ends */
        for (size_t i = width; i < b->bytes; i++) b->data[i] = b->data[i - width];
    }
    b->before = malloc(b->bytes);
    b->result = malloc(b->bytes);
    total += b->bytes;
    return b->data;
}

int32_t fuzz_few(int32_t x, int32_t most) {
    if (x >= 1 && x <= most) return x;
    refused = 1;
    return 0;
}

void *fuzz_pointers(int32_t count) {
    if (buffer_count == MOST_BUFFERS) abort();
    buffer *b = &buffers[buffer_count++];
    b->bytes = 0;
    b->use = SCRATCH;
    b->block = b->data = malloc((size_t)count * sizeof(void *));
    b->before = b->result = NULL;
    return b->block;
}

int fuzz_fits(void) { return !too_large; }

int fuzz_ready(double work) {
    for (buffer *b = buffers; b < buffers + buffer_count; b++) {
        if (b->bytes) memcpy(b->before, b->data, b->bytes);
    }
    return refused || (!too_large && work <= MOST_WORK);
}

int fuzz_next(int *form, int forms) {
    if (*form == (forms == NO_FORMS ? -1 : FORMS - 1)) return 0;
    ++*form;
    for (buffer *b = buffers; b < buffers + buffer_count; b++) {
        if (b->bytes) memcpy(b->data, b->before, b->bytes);
    }
    return 1;
}

static void wrong(const char *what, int form, int status) {
    fprintf(stderr, "%s, form %d, status %d: %s\n", targets[chosen].name, form, status, what);
    abort();
}

void fuzz_judge(int form, int forms, int status) {
    int absent = form >= 0 && !uvlm_has(form);
    if (status < UVLM_OK || status > UVLM_FORM) wrong("no such status", form, status);
    if ((refused || absent) && status == UVLM_OK) wrong("accepted what the header forbids", form, status);
    if (form == -1) first_status = status;
    if (!absent && status != first_status) wrong("another status than the kernel's own choice", form, status);
    for (int i = 0; i < buffer_count; i++) {
        buffer *b = &buffers[i];
        if (!b->bytes || b->use == FREE) continue;
        if ((status || b->use <= MAYBE) && memcmp(b->data, b->before, b->bytes)) {
            wrong(status ? "refused, and wrote" : "wrote where it may only read", form, status);
        }
        if (status || b->use != WRITTEN || forms != SAME) continue;
        if (form == -1) memcpy(b->result, b->data, b->bytes);
        if (memcmp(b->data, b->result, b->bytes)) wrong("another result than the kernel's own choice", form, status);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    const char *name = getenv("UVLM_FUZZ");
    (void)argc, (void)argv;
    for (int i = 0; name && i < target_count; i++) {
        if (!strcmp(name, "list")) puts(targets[i].name);
        if (!strcmp(name, targets[i].name)) {
            chosen = i;
            return 0;
        }
    }
    exit(name && !strcmp(name, "list") ? 0 : 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input = data;
    left = size;
    seed = size + 1;
    for (size_t i = 0; i < size; i++) seed = (seed ^ data[i]) * 1099511628211u;
    if (!seed) seed = 1;
    buffer_count = refused = too_large = 0;
    total = 0;
    targets[chosen].run();
    for (int i = 0; i < buffer_count; i++) {
        free(buffers[i].block);
        free(buffers[i].before);
        free(buffers[i].result);
    }
    return 0;
}
