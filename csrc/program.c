/* Runs a list of records: one switch that says how large the values of a record are, and one that calls its kernel. */
#include "program.h"
#include "sizes.h"

/* Positions of a kernel along one side of a map. */
static int64_t places(int32_t size, int32_t before, int32_t after, int32_t kernel, int32_t stride) {
    int64_t room = (int64_t)size + before + after - kernel;
    return before < 0 || after < 0 || kernel < 1 || stride < 1 || room < 0 ? -1 : uvlm_within(room / stride + 1);
}

static int64_t all_parts(const uvlm_parts *n) {
    int64_t sum = 0;
    for (int32_t i = 0; i < n->parts; i++) {
        if (n->sizes[i] < 1) return -1;
        sum += n->sizes[i];
    }
    return uvlm_product(n->positions, uvlm_within(sum));
}

typedef struct {
    int64_t count; /* numbers */
    int32_t width; /* bytes of each */
} value;

static value bytes(int64_t count) { return (value){count, 1}; }
static value shorts(int64_t count) { return (value){count, 2}; }
static value words(int64_t count) { return (value){count, 4}; }

/* The values of a record in the order of the kernel's arguments: how many there are, -1 for a kind that is unknown. */
static int32_t values_of(const uvlm_record *record, value v[6]) {
    switch (record->kind) {
    case UVLM_LOOK_UP: {
        const uvlm_look_up *n = record->numbers;
        v[0] = v[1] = bytes(n->count);
        return 2;
    }
    case UVLM_GEMM: {
        const uvlm_gemm *n = record->numbers;
        v[0] = bytes(n->columns);
        v[1] = bytes(n->rows);
        return 2;
    }
    case UVLM_LOGITS: {
        const uvlm_gemm *n = record->numbers;
        v[0] = bytes(n->columns);
        v[1] = words(n->rows);
        return 2;
    }
    case UVLM_WORD: {
        const uvlm_word *n = record->numbers;
        v[0] = words(1);
        v[1] = bytes(n->hidden);
        return 2;
    }
    case UVLM_CONV: {
        const uvlm_conv *n = record->numbers;
        int64_t down = places(n->height, n->top, n->bottom, n->kernel_h, n->stride_y);
        int64_t across = places(n->width, n->left, n->right, n->kernel_w, n->stride_x);
        v[0] = bytes(uvlm_product(uvlm_product(n->height, n->width), n->channels));
        v[1] = bytes(uvlm_product(uvlm_product(down, across), n->outputs));
        return 2;
    }
    case UVLM_ADD: {
        const uvlm_add *n = record->numbers;
        v[0] = bytes(uvlm_reach(n->positions, n->channels, n->x_position, n->x_channel));
        v[1] = bytes(uvlm_reach(n->positions, n->channels, n->other_position, n->other_channel));
        v[2] = bytes(uvlm_product(n->positions, n->channels));
        if (!n->constant) return 3;
        v[1] = v[2];
        return 2;
    }
    case UVLM_MUL: {
        const uvlm_mul *n = record->numbers;
        v[0] = bytes(uvlm_reach(n->positions, n->channels, n->x_position, n->x_channel));
        v[1] = bytes(uvlm_reach(n->positions, n->channels, n->other_position, n->other_channel));
        v[2] = bytes(uvlm_product(n->positions, n->channels));
        if (!n->constant) return 3;
        v[1] = v[2];
        return 2;
    }
    case UVLM_MEAN:
    case UVLM_MAXIMUM: {
        const uvlm_mean *n = record->numbers;
        v[0] = bytes(uvlm_product(n->positions, n->channels));
        v[1] = bytes(n->channels);
        return 2;
    }
    case UVLM_POOL:
    case UVLM_ENLARGE: {
        const uvlm_pool *n = record->numbers;
        int64_t given = uvlm_product(uvlm_product(n->height, n->width), n->channels),
                square = uvlm_product(n->side, n->side);
        v[0] = bytes(given);
        v[1] = bytes(square < 1 ? -1 : record->kind == UVLM_POOL ? given / square : uvlm_product(given, square));
        return 2;
    }
    case UVLM_CONCAT:
    case UVLM_SPLIT: {
        const uvlm_parts *n = record->numbers;
        if (n->parts < 1 || n->parts > 4) return -1;
        int32_t first = record->kind == UVLM_SPLIT;
        for (int32_t i = 0; i < n->parts; i++) v[first + i] = bytes(uvlm_product(n->positions, n->sizes[i]));
        v[first ? 0 : n->parts] = bytes(all_parts(n));
        return n->parts + 1;
    }
    case UVLM_GRN: {
        const uvlm_grn *n = record->numbers;
        v[0] = v[1] = bytes(uvlm_product(n->positions, n->channels));
        v[2] = words(n->channels);
        return 3;
    }
    case UVLM_LAYER_NORM: {
        const uvlm_layer_norm *n = record->numbers;
        v[0] = v[1] = bytes(n->hidden);
        return 2;
    }
    case UVLM_SCAN: {
        const uvlm_scan *n = record->numbers;
        v[0] = v[1] = v[5] = bytes(n->channels);
        v[2] = v[3] = bytes(n->states);
        v[4] = shorts(uvlm_product(n->channels, n->states));
        return 6;
    }
    case UVLM_SCORES: {
        const uvlm_scores *n = record->numbers;
        v[0] = bytes(uvlm_product(n->positions, n->channels));
        v[1] = words(n->positions);
        return 2;
    }
    case UVLM_SOFTMAX: {
        const uvlm_softmax *n = record->numbers;
        v[0] = v[2] = words(n->positions);
        v[1] = shorts(n->positions);
        return 3;
    }
    case UVLM_ATTEND: {
        const uvlm_attend *n = record->numbers;
        v[0] = shorts(n->positions);
        v[1] = bytes(uvlm_product(n->positions, n->channels));
        v[2] = bytes(n->channels);
        return 3;
    }
    case UVLM_FIRST: {
        const uvlm_first *n = record->numbers;
        v[0] = bytes(n->columns);
        v[1] = bytes(n->hidden);
        v[2] = shorts(n->hidden);
        return 3;
    }
    case UVLM_LSTM: {
        const uvlm_lstm *n = record->numbers;
        v[0] = bytes(n->columns);
        v[1] = bytes(n->hidden);
        v[2] = shorts(n->hidden);
        v[3] = words(uvlm_product(4, n->hidden));
        return 4;
    }
    default:
        return -1;
    }
}

int uvlm_program_arena(const uvlm_program *p, int64_t *size) {
    if (!p || !p->records || !size) return UVLM_NULL;
    if (p->count < 1) return UVLM_SIZE;
    int64_t most = 0;
    for (int32_t i = 0; i < p->count; i++) {
        const uvlm_record *record = p->records + i;
        if (!record->numbers) return UVLM_NULL;
        value v[6];
        int32_t count = values_of(record, v);
        if (count < 0) return UVLM_RANGE;
        for (int32_t k = 0; k < count; k++) {
            if (v[k].count < 1) return UVLM_SIZE;
            if (record->at[k] < 0 || record->at[k] % v[k].width) return UVLM_RANGE;
            int64_t end = record->at[k] + v[k].count * v[k].width;
            most = end > most ? end : most;
        }
    }
    *size = most;
    return UVLM_OK;
}

static int run(int form, const uvlm_record *record, int8_t *arena) {
    const void *n = record->numbers;
    const int32_t *at = record->at;
    switch (record->kind) {
    case UVLM_LOOK_UP:
        return uvlm_look_up_s8_as(form, n, arena + at[0], arena + at[1]);
    case UVLM_GEMM:
        return uvlm_gemm_s8_as(form, n, arena + at[0], arena + at[1]);
    case UVLM_LOGITS:
        return uvlm_logits_s8_as(form, n, arena + at[0], (void *)(arena + at[1]));
    case UVLM_WORD:
        return uvlm_word_s8(n, *(const int32_t *)(const void *)(arena + at[0]), arena + at[1]);
    case UVLM_CONV:
        return uvlm_conv_s8_as(form, n, arena + at[0], arena + at[1]);
    case UVLM_ADD:
        if (((const uvlm_add *)n)->constant) return uvlm_add_s8_as(form, n, arena + at[0], NULL, arena + at[1]);
        return uvlm_add_s8_as(form, n, arena + at[0], arena + at[1], arena + at[2]);
    case UVLM_MUL:
        if (((const uvlm_mul *)n)->constant) return uvlm_mul_s8_as(form, n, arena + at[0], NULL, arena + at[1]);
        return uvlm_mul_s8_as(form, n, arena + at[0], arena + at[1], arena + at[2]);
    case UVLM_MEAN:
        return uvlm_mean_s8_as(form, n, arena + at[0], arena + at[1]);
    case UVLM_MAXIMUM:
        return uvlm_most_s8_as(form, n, arena + at[0], arena + at[1]);
    case UVLM_POOL:
        return uvlm_pool_s8(n, arena + at[0], arena + at[1]);
    case UVLM_ENLARGE:
        return uvlm_enlarge_s8(n, arena + at[0], arena + at[1]);
    case UVLM_CONCAT: {
        const int8_t *x[4];
        int32_t parts = ((const uvlm_parts *)n)->parts;
        for (int32_t i = 0; i < parts; i++) x[i] = arena + at[i];
        return uvlm_concat_s8(n, x, arena + at[parts]);
    }
    case UVLM_SPLIT: {
        int8_t *y[4];
        for (int32_t i = 0; i < ((const uvlm_parts *)n)->parts; i++) y[i] = arena + at[i + 1];
        return uvlm_split_s8(n, arena + at[0], y);
    }
    case UVLM_GRN:
        return uvlm_grn_s8(n, arena + at[0], arena + at[1], (void *)(arena + at[2]));
    case UVLM_LAYER_NORM:
        return uvlm_layer_norm_s8_as(form, n, arena + at[0], arena + at[1]);
    case UVLM_SCAN:
        return uvlm_scan_s16_as(form, n, arena + at[0], arena + at[1], arena + at[2], arena + at[3],
                                (void *)(arena + at[4]), arena + at[5]);
    case UVLM_SCORES:
        return uvlm_scores_s8(n, arena + at[0], (void *)(arena + at[1]));
    case UVLM_SOFTMAX:
        return uvlm_softmax_s32(n, (const void *)(arena + at[0]), (void *)(arena + at[1]), (void *)(arena + at[2]));
    case UVLM_ATTEND:
        return uvlm_attend_s8_as(form, n, (const void *)(arena + at[0]), arena + at[1], arena + at[2]);
    case UVLM_FIRST:
        return uvlm_first_s8(n, arena + at[0], arena + at[1], (void *)(arena + at[2]));
    case UVLM_LSTM:
        return uvlm_lstm_s8_as(form, n, arena + at[0], arena + at[1], (void *)(arena + at[2]), (void *)(arena + at[3]));
    default:
        return UVLM_RANGE;
    }
}

int uvlm_program_run_as(int form, const uvlm_program *p, void *arena, int64_t size) {
    int64_t needed;
    int status = uvlm_program_arena(p, &needed);
    if (status) return status;
    if (!arena) return UVLM_NULL;
    if (size < needed) return UVLM_SIZE;
    if ((uintptr_t)arena % 4) return UVLM_RANGE;
    if (!uvlm_has(form)) return UVLM_FORM;
    for (int32_t i = 0; i < p->count && !status; i++) status = run(form, p->records + i, arena);
    return status;
}

int uvlm_program_run(const uvlm_program *p, void *arena, int64_t size) {
    return uvlm_program_run_as(uvlm_form(), p, arena, size);
}
