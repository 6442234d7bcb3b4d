/* The captioner: a picture in, words out, in integers alone.
 *
 *     int64_t size;
 *     uvlm m;
 *     uvlm_found found;
 *     uvlm_memory(blob, bytes, 3, &size);                  how much memory a beam of 3 takes
 *     uvlm_open(&m, blob, bytes, 3, memory, size);         the blob stays where it is, in flash say
 *     uvlm_caption(&m, pixels, &found);
 *     for (i = 0; i < found.count; i++) puts(uvlm_text(&m, found.words[i]));
 *
 * `uvlm deploy blob` writes the blob. All functions return a status of status.h; nothing is allocated. */
#ifndef UVLM_H
#define UVLM_H

#include "program.h"

/* declarations */
enum {
    UVLM_VERSION = 2,
    UVLM_LONGEST = 126, /* words a caption may have */
    UVLM_WIDEST = 8,    /* beginnings a beam may keep */
    UVLM_BROKEN = 5,    /* status: no blob, cut off, of another version, or its checksum is wrong */
    UVLM_FOREIGN = 6    /* status: the blob's records or sizes contradict each other */
};

/* A caption: numbers of its words without BOS and EOS, the logarithm to base 2 of its probability in 2^-16, and whether
 * it ended by itself. */
typedef struct {
    int32_t words[126];
    int32_t count, score, ended;
} uvlm_found;

/* Bytes that are copied from one place to another. */
typedef struct {
    int32_t from, to, bytes, fill;
} uvlm_copy;

typedef struct {
    int32_t side;    /* of a picture in pixels */
    int32_t words;   /* that it knows */
    int32_t longest; /* words of a caption */
    int32_t map;     /* positions of the bias map */
    int32_t map_zero; /* the number in it that stands for no bias */
    int32_t beam;
    /* What follows is the captioner's own. */
    const int8_t *blob;
    uvlm_program encoder, step;
    uvlm_word word;
    const int32_t *powers, *logs, *texts;
    int32_t pixels_at, word_at, logits_at, map_at;
    int32_t contexts, states, state_bytes;
    uvlm_copy context[4]; /* from the encoder's arena to the step's */
    uvlm_copy state[4];   /* from its place after a step to its place before; filled at the start */
    int8_t *seeing, *saying; /* arenas of encoder and step */
    int64_t seeing_bytes, saying_bytes;
    int8_t *rows;         /* (2, beam, state_bytes) states of the beam's beginnings, before and after a step */
    int32_t *paths;       /* (2, beam, longest) their words */
    uvlm_found *best;     /* (beam) captions that ended, the best first */
} uvlm;

/* How many bytes of memory a blob takes with a beam of 1 (greedy search) to UVLM_WIDEST. The blob begins at a multiple
 * of 4 bytes. */
int uvlm_memory(const void *blob, int64_t bytes, int32_t beam, int64_t *size);

/* Look a blob through and make it ready. Memory begins at a multiple of 16 bytes and, like the blob, must stay. */
int uvlm_open(uvlm *m, const void *blob, int64_t bytes, int32_t beam, void *memory, int64_t size);

/* The text of a word, ended by 0; "" of a number that is none. */
const char *uvlm_text(const uvlm *m, int32_t word);

/* Look at a picture: (side, side, 3) bytes of sRGB. Captions start anew. */
int uvlm_encode(uvlm *m, const uint8_t *pixels);

/* The same where another processor has looked: hand in what the encoder gives, context `n` of `contexts` at a time, each
 * as context[n].bytes int8 numbers with channels last. */
int uvlm_context(uvlm *m, int32_t n, const int8_t *data);

/* One step after the word before, the first after BOS: logits (words) int32, in the captioner's memory. `uvlm_start`
 * goes back to the empty state. */
int uvlm_start(uvlm *m);
int uvlm_step(uvlm *m, int32_t word, const int32_t **logits);

/* The bias map of the last step: `map` numbers, where the decoder looked. */
const int8_t *uvlm_bias(const uvlm *m);

/* The best caption of a picture, or of the one that was encoded last: greedy with a beam of 1. */
int uvlm_caption(uvlm *m, const uint8_t *pixels, uvlm_found *found);
int uvlm_search(uvlm *m, uvlm_found *found);

/* CRC-32 of bytes, as zlib has it. */
uint32_t uvlm_checksum(const void *bytes, int64_t count);

/* In place: from logits in Q16 of a logarithm to base 2 to logarithms of probabilities; see integer_search.py. */
int uvlm_log_softmax(int32_t *x, int32_t words, const int32_t *powers, const int32_t *logs);
/* end of declarations */

#endif
