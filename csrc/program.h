/* A network as a list of records that run one after the other in one piece of memory.
 *
 * A record is a kernel, the struct of its numbers, and the places of its values in the arena. Weights stay where the
 * struct points to, in flash say; the arena holds nothing but values and scratch memory, and belongs to the caller. */
#ifndef UVLM_PROGRAM_H
#define UVLM_PROGRAM_H

#include "kernels_s8.h"

/* declarations */
enum {
    UVLM_LOOK_UP = 0,
    UVLM_GEMM = 1,
    UVLM_LOGITS = 2,
    UVLM_WORD = 3,
    UVLM_CONV = 4,
    UVLM_ADD = 5,
    UVLM_MUL = 6,
    UVLM_MEAN = 7,
    UVLM_MAXIMUM = 8,
    UVLM_POOL = 9,
    UVLM_ENLARGE = 10,
    UVLM_CONCAT = 11,
    UVLM_SPLIT = 12,
    UVLM_GRN = 13,
    UVLM_LAYER_NORM = 14,
    UVLM_SCAN = 15,
    UVLM_SCORES = 16,
    UVLM_SOFTMAX = 17,
    UVLM_ATTEND = 18,
    UVLM_FIRST = 19,
    UVLM_LSTM = 20
};

typedef struct {
    int32_t kind;
    const void *numbers; /* the struct of the kernel */
    int32_t at[6];       /* bytes from the start of the arena to each value, in the order of the kernel's arguments */
} uvlm_record;

typedef struct {
    const uvlm_record *records;
    int32_t count;
} uvlm_program;

/* The smallest arena in which all values of a program lie. */
int uvlm_program_arena(const uvlm_program *p, int64_t *bytes);

/* Runs all records. The arena begins at a multiple of 4 bytes; the caller has put the inputs in their places, and finds
 * the outputs in theirs. All places and sizes are looked at before anything runs. A kernel that refuses its own numbers
 * ends the program with its status; what ran before it stays done. Values that overlap are the caller's mistake: the
 * result is wrong, no more. */
int uvlm_program_run(const uvlm_program *p, void *arena, int64_t bytes);
int uvlm_program_run_as(int form, const uvlm_program *p, void *arena, int64_t bytes);
/* end of declarations */

#endif
