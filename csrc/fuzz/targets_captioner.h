/* The captioner and what it reads. A blob is a whole one, made by Python (UVLM_BLOB names the file), with some of its
 * first numbers changed, cut short or not, and with a checksum that is right again: so changes get as far as they can.
 * What opens is then run: as csrc/blob.c promises, no blob that opens leads a kernel outside. */
#include <stdlib.h>

#include "../uvlm.h"

static int8_t *whole_blob;
static size_t whole_bytes;

static void read_blob(void) {
    const char *name = getenv("UVLM_BLOB");
    FILE *file = name ? fopen(name, "rb") : NULL;
    whole_blob = calloc(1, 1 << 20);
    whole_bytes = file ? fread(whole_blob, 1, 1 << 20, file) : 4096; /* without a file, zeros */
    if (file) fclose(file);
}

static void change(int8_t *blob, size_t bytes) {
    size_t numbers = bytes / 4 < 4096 ? bytes / 4 : 4096; /* header and records stand in front */
    for (int k = fuzz_byte() & 7; k > 0 && numbers; k--) {
        size_t most = numbers > 64 && fuzz_byte() & 1 ? 64 : numbers, at = (size_t)fuzz_byte() << 8;
        at = 4 * ((at | fuzz_byte()) % most);
        int32_t x;
        memcpy(&x, blob + at, 4);
        x = fuzz_byte() & 1 ? (int32_t)((uint32_t)x + (uint32_t)(int8_t)fuzz_byte()) : fuzz_number();
        memcpy(blob + at, &x, 4);
    }
    if (bytes >= 16 && fuzz_byte() & 15) {
        int32_t size = (int32_t)bytes;
        uint32_t sum;
        memcpy(blob + 8, &size, 4);
        sum = uvlm_checksum(blob + 16, (int64_t)bytes - 16);
        memcpy(blob + 12, &sum, 4);
    }
}

static void look_and_speak(uvlm *m) {
    uvlm_found found;
    const int32_t *logits;
    size_t bytes = (size_t)m->side * (size_t)m->side * 3, seen = 0;
    for (int32_t i = 0; i < m->words && i < 64; i++) seen += strlen(uvlm_text(m, i));
    uint8_t *pixels = bytes < 1 << 16 ? malloc(bytes) : NULL;
    for (size_t i = 0; pixels && i < bytes; i++) pixels[i] = (uint8_t)(i * 7 + seen);
    if (pixels && uvlm_encode(m, pixels) == UVLM_OK) {
        int32_t n = (int32_t)(seen % 5); /* what the encoder gave, handed in again from a piece of memory of its own */
        int8_t *given = n < m->contexts ? malloc((size_t)m->context[n].bytes) : NULL;
        if (given) memcpy(given, m->seeing + m->context[n].from, (size_t)m->context[n].bytes);
        if (given && uvlm_context(m, n, given) != UVLM_OK) abort();
        if (uvlm_context(m, m->contexts, (const int8_t *)pixels) != UVLM_RANGE) abort();
        free(given);
        if (uvlm_step(m, fuzz_number(), &logits) == UVLM_OK) {
            for (int32_t i = 0; i < m->words; i++) seen += (size_t)logits[i];
            for (int32_t i = 0; i < m->map; i++) seen += (size_t)uvlm_bias(m)[i];
        }
        if (m->longest < 12 && uvlm_search(m, &found) == UVLM_OK && found.count > m->longest) abort();
    }
    if (seen == 1) puts(""); /* so that what was read counts */
    free(pixels);
}

/* Opens a blob that was changed, and lets `use` have what opened. */
static void open_changed(void (*use)(uvlm *m)) {
    if (!whole_blob) read_blob();
    size_t bytes = fuzz_byte() & 15 ? whole_bytes : whole_bytes * fuzz_byte() / 256 & ~(size_t)3;
    int8_t *blob = malloc(bytes);
    memcpy(blob, whole_blob, bytes);
    change(blob, bytes);
    int32_t beam = fuzz_byte() & 7 ? 1 + (fuzz_byte() & 1) : fuzz_number();
    int64_t size = 0;
    if (uvlm_memory(blob, (int64_t)bytes, beam, &size) == UVLM_OK && size < 1 << 22) {
        void *memory = malloc((size_t)size);
        uvlm m;
        if (uvlm_open(&m, blob, (int64_t)bytes, beam, memory, size) == UVLM_OK) use(&m);
        free(memory);
    }
    free(blob);
}

/* The reader alone, without the time that a picture takes. */
static void read_texts(uvlm *m) {
    size_t seen = 0;
    for (int32_t i = -1; i <= m->words; i++) seen += strlen(uvlm_text(m, i));
    if (seen == 1) puts("");
}

static void fuzz_captioner(void) { open_changed(look_and_speak); }
static void fuzz_blob(void) { open_changed(read_texts); }
__attribute__((constructor)) static void add_blob(void) { fuzz_add("blob", fuzz_blob); }
__attribute__((constructor)) static void add_captioner(void) { fuzz_add("captioner", fuzz_captioner); }

TARGET(log_softmax, counted, count, NO_FORMS,
       double words = fuzz_few(r.count, INT32_MAX); OUT(int32_t, x, words)
       IN(int32_t, powers, 257) IN(int32_t, logs, 257),
       x, r.count, powers, logs)
