/* The captioner as firmware: captions a picture that the host hands over, and says how it went.
 *
 *     caption PICTURE [BEAM]          the caption
 *     caption PICTURE BEAM trace      checksums of what the encoder gives and of every step's logits, greedy, then as above
 *     caption PICTURE BEAM count      instructions of every record of the encoder and of one step, then as above
 *
 * PICTURE is a file of the host with side * side * 3 bytes. The blob is part of the program: -DUVLM_BLOB="its path". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "counter.h"
#include "embedded.h"
#include "semihost.h"
#include "uvlm.h"

enum { BOS = 1, EOS = 2 };

/* What the caller of uvlm_open() gives: -DUVLM_MEMORY= bytes, or all that there is. */
#ifndef UVLM_MEMORY
#define UVLM_MEMORY (1792 * 1024)
#endif
static int8_t memory[UVLM_MEMORY] __attribute__((section(".arena"), aligned(16)));
static uint8_t pixels[3 * 256 * 256];
static uvlm m;
static uvlm_found found;

static void need(int ok, const char *what) {
    if (ok) return;
    printf("%s\n", what);
    uvlm_host_exit(1);
}

static void trace(void) {
    const int32_t *logits;
    int32_t word = BOS;
    for (int32_t i = 0; i < m.contexts; i++) {
        const int8_t *at = m.saying + m.context[i].to;
        printf("context %ld %08lx\n", (long)i, (unsigned long)uvlm_checksum(at, m.context[i].bytes));
    }
    uvlm_start(&m);
    for (int32_t t = 0; t <= m.longest && word != EOS; t++) {
        need(!uvlm_step(&m, word, &logits), "A step was refused.");
        unsigned long sum = (unsigned long)uvlm_checksum(logits, 4 * (int64_t)m.words);
        printf("step %ld after %ld logits %08lx bias %08lx\n", (long)t, (long)word, sum,
               (unsigned long)uvlm_checksum(uvlm_bias(&m), m.map));
        word = EOS;
        for (int32_t i = EOS; i < m.words; i++) word = logits[i] > logits[word] ? i : word;
    }
}

static void count(const char *name, const uvlm_program *p, int8_t *arena, int64_t bytes) {
    for (int32_t i = 0; i < p->count; i++) {
        uvlm_program one = {p->records + i, 1};
        uint32_t instructions;
        int status = 0;
        UVLM_COUNT(instructions, status = uvlm_program_run(&one, arena, bytes));
        need(!status, "A record was refused.");
        printf("record %s %ld kind %ld instructions %lu\n", name, (long)i, (long)p->records[i].kind,
               (unsigned long)instructions);
    }
}

int main(int arguments, char **argument) {
    int64_t bytes = uvlm_blob_end - uvlm_blob;
    need(arguments > 1, "Give a picture: a file of side * side * 3 bytes.");
    int32_t beam = arguments > 2 ? (int32_t)strtol(argument[2], NULL, 10) : 3;
    int status = uvlm_open(&m, uvlm_blob, bytes, beam, memory, sizeof memory);
    if (status) printf("The blob was refused with status %d.\n", status);
    need(!status, "Nothing was captioned.");
    int64_t needed = 0;
    need(!uvlm_memory(uvlm_blob, bytes, beam, &needed), "The blob was refused.");
    printf("blob %ld memory %ld\n", (long)bytes, (long)needed);
    size_t size = 3 * (size_t)m.side * (size_t)m.side;
    need(size <= sizeof pixels, "This firmware takes pictures up to 256 pixels a side.");
    FILE *file = fopen(argument[1], "rb");
    need(file != NULL, "The picture could not be opened.");
    need(fread(pixels, 1, size, file) == size && fgetc(file) == EOF, "The picture has another size than the blob asks for.");
    fclose(file);
    uint32_t seeing, saying;
    UVLM_COUNT(seeing, status = uvlm_encode(&m, pixels));
    need(!status, "The encoder was refused.");
    if (arguments > 3 && !strcmp(argument[3], "trace")) trace();
    if (arguments > 3 && !strcmp(argument[3], "count")) {
        const int32_t *logits;
        count("encoder", &m.encoder, m.seeing, m.seeing_bytes);
        need(!uvlm_step(&m, BOS, &logits), "A step was refused.");
        count("step", &m.step, m.saying, m.saying_bytes);
        need(!uvlm_encode(&m, pixels), "The encoder was refused.");
    }
    UVLM_COUNT(saying, status = uvlm_search(&m, &found));
    need(!status, "The search was refused.");
    printf("form %d\ninstructions encoder %lu search %lu\nscore %ld ended %ld\nwords", uvlm_form(), (unsigned long)seeing,
           (unsigned long)saying, (long)found.score, (long)found.ended);
    for (int32_t i = 0; i < found.count; i++) printf(" %ld", (long)found.words[i]);
    printf("\ncaption");
    for (int32_t i = 0; i < found.count; i++) {
        if (found.words[i] > 3) printf(" %s", uvlm_text(&m, found.words[i]));
    }
    printf("\n");
    return 0;
}
