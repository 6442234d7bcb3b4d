/* A whole program of up to four records, as in targets.h: its places in the arena, which is just as large as it says.
 *
 * Kernels that have weights get none and refuse; those with numbers alone run. */
#include "../program.h"

static const struct {
    size_t size, first;
} kinds[] = {
#define KIND(record, number) {sizeof(record), offsetof(record, number)}
    [UVLM_LOOK_UP] = KIND(uvlm_look_up, count),
    [UVLM_GEMM] = KIND(uvlm_gemm, rows),
    [UVLM_LOGITS] = KIND(uvlm_gemm, rows),
    [UVLM_WORD] = KIND(uvlm_word, words),
    [UVLM_CONV] = KIND(uvlm_conv, height),
    [UVLM_ADD] = KIND(uvlm_add, positions),
    [UVLM_MUL] = KIND(uvlm_mul, positions),
    [UVLM_MEAN] = KIND(uvlm_mean, positions),
    [UVLM_MAXIMUM] = KIND(uvlm_mean, positions),
    [UVLM_POOL] = KIND(uvlm_pool, height),
    [UVLM_ENLARGE] = KIND(uvlm_pool, height),
    [UVLM_CONCAT] = KIND(uvlm_parts, positions),
    [UVLM_SPLIT] = KIND(uvlm_parts, positions),
    [UVLM_GRN] = KIND(uvlm_grn, positions),
    [UVLM_LAYER_NORM] = KIND(uvlm_layer_norm, hidden),
    [UVLM_SCAN] = KIND(uvlm_scan, channels),
    [UVLM_SCORES] = KIND(uvlm_scores, positions),
    [UVLM_SOFTMAX] = KIND(uvlm_softmax, positions),
    [UVLM_ATTEND] = KIND(uvlm_attend, positions),
    [UVLM_FIRST] = KIND(uvlm_first, hidden),
    [UVLM_LSTM] = KIND(uvlm_lstm, hidden),
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static uvlm_record *records(int32_t count) {
    uvlm_record *made = fuzz_buffer(count, sizeof *made, READ);
    for (int32_t i = 0; made && i < count; i++) {
        uint8_t kind = fuzz_byte() % (KINDS + 1); /* one of them there is not */
        size_t size = kind < KINDS ? kinds[kind].size : 64, first = kind < KINDS ? kinds[kind].first : 0;
        void *numbers = fuzz_buffer(1, size, READ);
        if (numbers) fuzz_numbers(numbers, size, first);
        made[i].kind = kind < KINDS || fuzz_byte() & 1 ? kind : INT32_MIN + kind;
        made[i].numbers = numbers;
        for (int k = 0; k < 6; k++) made[i].at[k] = fuzz_byte() & 15 ? 4 * (fuzz_byte() & 63) : fuzz_number();
    }
    return made;
}

#define RECORDS r.records = records(fuzz_few(r.count, 4)); if (r.count > 4) return;
TARGET(program_arena, uvlm_program, count, NO_FORMS, RECORDS OUT(int64_t, bytes, 1), &r, bytes)
TARGET(program_run, uvlm_program, count, LOOSE,
       RECORDS int64_t bytes = fuzz_byte() & 7 ? 16 * fuzz_byte() : fuzz_number();
       int32_t *arena = fuzz_buffer(bytes, 1, FREE),
       &r, arena, bytes)
