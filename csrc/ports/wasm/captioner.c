/* The captioner for a browser or Node: what JavaScript calls, and the memory that it needs. captioner.js is the caller.
 *
 * Built bare: no operating system, no C library, nothing imported. An instance of the module holds one captioner. Its
 * memory lies so, and grows by pages of 64 KB as pieces are handed out, none of which is ever given back:
 *
 *     0         the C stack, which grows down: below 0 the instance stops instead of overwriting something
 *     behind    constants, the captioner's struct
 *     heap      blob, memory of uvlm_open, pixels, in the order in which they are asked for
 *
 * Sizes and places are int32 here: an int64 of C is no number of JavaScript. */
#include "uvlm.h"

#define EXPORT(name) __attribute__((export_name(#name), used))

enum { PAGE = 65536, FULL = 7 /* status: the host gives no more memory */ };

extern int8_t __heap_base; /* the linker's: where its own data ends */

static uvlm m;
static uvlm_found found;
static uint8_t *pixels;
static uint32_t used; /* where the heap ends; 0 before the first piece */

/* A piece of memory that begins at a multiple of 16 bytes; NULL if there is not that much. */
EXPORT(allocate) void *allocate(int32_t bytes) {
    uint32_t at = ((used ? used : (uint32_t)(uintptr_t)&__heap_base) + 15) & ~(uint32_t)15;
    if (bytes < 1 || (uint32_t)bytes > UINT32_MAX - at - PAGE) return NULL;
    uint32_t end = at + (uint32_t)bytes, pages = (end + PAGE - 1) / PAGE, there = (uint32_t)__builtin_wasm_memory_size(0);
    if (pages > there && __builtin_wasm_memory_grow(0, pages - there) == (size_t)-1) return NULL;
    used = end;
    return (void *)(uintptr_t)at;
}

/* Open a blob that lies in a piece. Status of status.h and uvlm.h, or FULL. */
EXPORT(open) int open(const void *blob, int32_t bytes, int32_t beam) {
    int64_t size;
    pixels = NULL;
    int status = uvlm_memory(blob, bytes, beam, &size);
    if (status) return status;
    if (size > INT32_MAX) return FULL;
    void *memory = allocate((int32_t)size);
    if (!memory) return FULL;
    status = uvlm_open(&m, blob, bytes, beam, memory, size);
    if (status) return status;
    pixels = allocate(3 * m.side * m.side);
    return pixels ? UVLM_OK : FULL;
}

/* The captioner's numbers: the first six as in uvlm.h, then how many values the encoder gives to the step, then the form
 * of the kernels. -1 for others. */
EXPORT(number) int32_t number(int32_t which) {
    const int32_t numbers[] = {m.side, m.words, m.longest, m.map, m.map_zero, m.beam, m.contexts, uvlm_form()};
    return which >= 0 && which < (int32_t)(sizeof numbers / sizeof numbers[0]) ? numbers[which] : -1;
}

/* Where the picture's bytes go before `encode`: (side, side, 3). */
EXPORT(picture) uint8_t *picture(void) { return pixels; }

EXPORT(encode) int encode(void) { return pixels ? uvlm_encode(&m, pixels) : UVLM_NULL; }

/* The picture through the encoder's first records alone, the last of which adds two values: their sum, by which a page
 * tells an unusual picture. What `encode` gave to the step stays as it is. NULL: no such record. */
EXPORT(early) const int8_t *early(int32_t records) {
    const uvlm_program part = {m.encoder.records, records};
    if (!pixels || records < 1 || records > m.encoder.count || part.records[records - 1].kind != UVLM_ADD) return NULL;
    const uvlm_record *last = part.records + records - 1;
    if (((const uvlm_add *)last->numbers)->constant) return NULL;
    for (int32_t i = 0; i < 3 * m.side * m.side; i++) m.seeing[m.pixels_at + i] = (int8_t)(pixels[i] - 128);
    return uvlm_program_run(&part, m.seeing, m.seeing_bytes) ? NULL : m.seeing + last->at[2];
}

EXPORT(start) int start(void) { return uvlm_start(&m); }

/* What the encoder gave to the step: value i, and its bytes. */
EXPORT(context) const int8_t *context(int32_t i) {
    return i >= 0 && i < m.contexts && m.saying ? m.saying + m.context[i].to : NULL;
}

EXPORT(context_bytes) int32_t context_bytes(int32_t i) { return i >= 0 && i < m.contexts ? m.context[i].bytes : 0; }

/* One step after a word; then its logits, and its bias map. */
EXPORT(step) int step(int32_t word) {
    const int32_t *made;
    return uvlm_step(&m, word, &made);
}
EXPORT(logits) const int32_t *logits(void) {
    return m.saying ? (const int32_t *)(const void *)(m.saying + m.logits_at) : NULL;
}
EXPORT(bias) const int8_t *bias(void) { return uvlm_bias(&m); }

/* Search. The beam's captions lie best first; the search does not say how many there are, but writes the number of
 * words of each: so -1 marks those that it did not come to. */
EXPORT(search) int search(void) {
    for (int32_t i = 0; m.best && i < m.beam; i++) m.best[i].count = -1;
    int status = uvlm_search(&m, &found);
    if (!status && m.beam == 1) m.best[0] = found; /* greedy search keeps no list */
    return status;
}

/* Caption i of the last search, best first: its words, count, score and ended lie one behind the other. NULL: none. */
EXPORT(caption) const uvlm_found *caption(int32_t i) {
    return m.best && i >= 0 && i < m.beam && m.best[i].count >= 0 ? m.best + i : NULL;
}

/* The text of a word, ended by 0. */
EXPORT(text) const char *text(int32_t word) { return uvlm_text(&m, word); }

EXPORT(checksum) uint32_t checksum(const void *bytes, int32_t count) { return uvlm_checksum(bytes, count); }
