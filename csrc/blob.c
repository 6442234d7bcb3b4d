/* The blob: both networks, the words and the tables in one piece, as `uvlm deploy blob` writes it.
 *
 * All numbers are int32, little-endian; places are counted in bytes from the start of the blob.
 *
 *     header     HEAD numbers, named below; then contexts, states as uvlm_copy
 *     records    of the encoder, then of the step, then the embedding's row: kind, six places in the arena, then
 *                (place, bytes) of each array of the kernel's struct, then the numbers of the struct
 *     the rest   arrays, each at a multiple of 16; places of the words' texts; texts
 *
 * A kernel's struct begins with its pointers and ends with its int32 numbers, in kernels_s8.h as in the blob: so one
 * loop reads all kinds. Arrays are used where they lie. Every array's size is looked at against what its kernel reads,
 * every place against the blob's end: a blob that opens cannot lead a kernel outside, whatever it says. */
#include "sizes.h"
#include "uvlm.h"

enum { /* numbers of the header */
    MAGIC, VERSION, BYTES, CHECKSUM, SIDE, WORDS, LONGEST, ENCODER, STEP, SEEING, SAYING, PIXELS_AT, WORD_AT, LOGITS_AT,
    MAP_AT, MAP, MAP_ZERO, CONTEXTS, STATES, POWERS, LOGS, TEXTS, RECORDS, HEAD
};

enum { MAGIC_NUMBER = 0x4D4C5655 }; /* "UVLM" */

/* Pointers and numbers of each kind's struct, in the order of program.h. */
static const struct {
    int8_t arrays, numbers;
    int16_t bytes;
} KINDS[] = {
#define KIND(arrays, numbers, type) {arrays, numbers, (int16_t)sizeof(type)}
    KIND(1, 1, uvlm_look_up),   KIND(4, 4, uvlm_gemm), KIND(4, 4, uvlm_gemm),  KIND(2, 4, uvlm_word),
    KIND(4, 16, uvlm_conv),     KIND(1, 12, uvlm_add), KIND(1, 12, uvlm_mul),  KIND(0, 7, uvlm_mean),
    KIND(0, 7, uvlm_mean),      KIND(0, 9, uvlm_pool), KIND(0, 9, uvlm_pool),  KIND(0, 6, uvlm_parts),
    KIND(0, 6, uvlm_parts),     KIND(3, 11, uvlm_grn), KIND(3, 6, uvlm_layer_norm), KIND(9, 9, uvlm_scan),
    KIND(4, 2, uvlm_scores),    KIND(1, 1, uvlm_softmax), KIND(0, 7, uvlm_attend), KIND(5, 4, uvlm_first),
    KIND(10, 6, uvlm_lstm),
#undef KIND
};
enum { KINDS_COUNT = (int)(sizeof KINDS / sizeof KINDS[0]) };

/* What the reader relies on: behind the pointers of a struct its numbers, and no more than padding behind those. */
#define DENSE(type, arrays, numbers) \
    typedef char type##_must_be_dense[sizeof(type) - (arrays) * sizeof(void *) - (numbers) * sizeof(int32_t) < 8 ? 1 : -1]
DENSE(uvlm_look_up, 1, 1);
DENSE(uvlm_conv, 4, 16);
DENSE(uvlm_scan, 9, 9);
DENSE(uvlm_lstm, 10, 6);

static int64_t product(int64_t a, int64_t b) { return uvlm_product(a, b); }

/* Bytes that a kernel reads of each of its arrays; -1 where a size makes no sense. */
static void needs(int32_t kind, const void *numbers, int64_t need[10]) {
    switch (kind) {
    case UVLM_LOOK_UP:
        need[0] = 256;
        return;
    case UVLM_GEMM:
    case UVLM_LOGITS: {
        const uvlm_gemm *n = numbers;
        need[0] = product(n->rows, n->columns);
        need[1] = need[2] = product(4, n->rows);
        need[3] = uvlm_within(n->rows);
        return;
    }
    case UVLM_WORD: {
        const uvlm_word *n = numbers;
        need[0] = product(n->words, n->hidden);
        need[1] = product(4, n->words);
        return;
    }
    case UVLM_CONV: {
        const uvlm_conv *n = numbers;
        need[0] = product(product(n->outputs, product(n->kernel_h, n->kernel_w)), n->group == 1 ? n->channels : 1);
        need[1] = need[2] = product(4, n->outputs);
        need[3] = uvlm_within(n->outputs);
        return;
    }
    case UVLM_ADD: {
        const uvlm_add *n = numbers;
        need[0] = uvlm_reach(n->positions, n->channels, n->other_position, n->other_channel);
        return;
    }
    case UVLM_MUL: {
        const uvlm_mul *n = numbers;
        need[0] = uvlm_reach(n->positions, n->channels, n->other_position, n->other_channel);
        return;
    }
    case UVLM_GRN: {
        const uvlm_grn *n = numbers;
        need[0] = product(2, n->channels);
        need[1] = product(4, n->channels);
        need[2] = 4 * 96;
        return;
    }
    case UVLM_LAYER_NORM: {
        const uvlm_layer_norm *n = numbers;
        need[0] = product(2, n->hidden);
        need[1] = product(4, n->hidden);
        need[2] = 4 * 96;
        return;
    }
    case UVLM_SCAN: {
        const uvlm_scan *n = numbers;
        need[0] = 2 * 256;
        need[1] = 256;
        need[2] = product(2, product(n->channels, n->states));
        need[3] = need[5] = need[7] = uvlm_within(n->channels);
        need[4] = need[6] = product(4, n->channels);
        need[8] = product(2, n->channels);
        return;
    }
    case UVLM_SCORES: {
        const uvlm_scores *n = numbers;
        need[0] = uvlm_within(n->channels);
        need[1] = need[2] = 4;
        need[3] = 1;
        return;
    }
    case UVLM_SOFTMAX:
        need[0] = 4 * 257;
        return;
    case UVLM_FIRST: {
        const uvlm_first *n = numbers;
        need[0] = product(product(2, n->hidden), n->columns);
        need[1] = need[2] = product(8, n->hidden);
        need[3] = product(2, n->hidden);
        need[4] = 2 * 513;
        return;
    }
    case UVLM_LSTM: {
        const uvlm_lstm *n = numbers;
        need[0] = product(product(4, n->hidden), n->columns);
        need[4] = product(product(4, n->hidden), n->hidden);
        need[1] = need[2] = need[5] = need[6] = product(16, n->hidden);
        need[3] = need[7] = product(4, n->hidden);
        need[8] = need[9] = 2 * 513;
        return;
    }
    default:
        return; /* the others read no arrays */
    }
}

uint32_t uvlm_checksum(const void *bytes, int64_t count) { /* four bits at a time */
    static const uint32_t table[16] = {0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
                                       0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
                                       0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C};
    const uint8_t *x = bytes;
    uint32_t crc = 0xFFFFFFFF;
    for (int64_t i = 0; i < count; i++) {
        crc = (crc >> 4) ^ table[(crc ^ x[i]) & 15];
        crc = (crc >> 4) ^ table[(crc ^ (uint32_t)(x[i] >> 4)) & 15];
    }
    return ~crc;
}

/* Memory that is handed out piece by piece; with no memory the pieces are counted alone. */
typedef struct {
    int8_t *memory;
    int64_t size, used;
} pieces;

static void *piece(pieces *p, int64_t bytes) {
    int64_t at = p->used;
    p->used += (bytes + 15) / 16 * 16;
    return p->memory && p->used <= p->size ? p->memory + at : NULL;
}

typedef struct {
    const int8_t *blob;
    int64_t bytes;
    const int32_t *at; /* the next number */
} reader;

/* The next `count` numbers, NULL behind the end. */
static const int32_t *read(reader *r, int64_t count) {
    const int32_t *found = r->at;
    if (count < 0 || count > (r->bytes - ((const int8_t *)found - r->blob)) / 4) return NULL;
    r->at += count;
    return found;
}

/* An array of the blob: NULL if its bytes do not lie within, or are fewer than needed, or begin where they should not. */
static const void *array(const reader *r, int32_t at, int64_t bytes, int64_t need) {
    if (need < 1 || bytes < need || at < 4 * HEAD || at % 16 || bytes > r->bytes - at) return NULL;
    return r->blob + at;
}

/* The struct of one kernel, from the record that follows. */
static int numbers_of(reader *r, int32_t kind, void *to) {
    int32_t arrays = KINDS[kind].arrays, count = KINDS[kind].numbers;
    const int32_t *places = read(r, 2 * arrays), *given = read(r, count);
    if (!places || !given) return UVLM_BROKEN;
    const void **pointers = to;
    int32_t *numbers = (int32_t *)(void *)((int8_t *)to + (size_t)arrays * sizeof(void *));
    for (int32_t i = 0; i < count; i++) numbers[i] = given[i];
    int64_t need[10] = {0};
    needs(kind, to, need);
    for (int32_t i = 0; i < arrays; i++) {
        pointers[i] = NULL;
        if ((kind == UVLM_ADD || kind == UVLM_MUL) && !places[0]) continue; /* two values, no constant */
        pointers[i] = array(r, places[2 * i], places[2 * i + 1], need[i]);
        if (!pointers[i]) return UVLM_FOREIGN;
    }
    return UVLM_OK;
}

/* `count` records; without memory they are passed over. */
static int records_of(reader *r, pieces *p, int32_t count, uvlm_program *program) {
    if (count < 1 || count > 65536) return UVLM_FOREIGN;
    uvlm_record *records = piece(p, count * (int64_t)sizeof(uvlm_record));
    program->records = records;
    program->count = count;
    for (int32_t i = 0; i < count; i++) {
        const int32_t *head = read(r, 7);
        if (!head || head[0] < 0 || head[0] >= KINDS_COUNT) return head ? UVLM_FOREIGN : UVLM_BROKEN;
        int32_t kind = head[0];
        void *numbers = piece(p, KINDS[kind].bytes);
        if (!numbers) {
            if (!read(r, 2 * KINDS[kind].arrays + KINDS[kind].numbers)) return UVLM_BROKEN;
            continue;
        }
        int status = numbers_of(r, kind, numbers);
        if (status) return status;
        records[i].kind = kind;
        records[i].numbers = numbers;
        for (int32_t k = 0; k < 6; k++) records[i].at[k] = head[1 + k];
    }
    return UVLM_OK;
}

static int lies_within(int64_t at, int64_t bytes, int64_t end) { return at >= 0 && bytes >= 1 && at + bytes <= end; }

/* Whether everything that the header places in the arenas lies there, and fits together. */
static int fits(const uvlm *m) {
    int64_t needed, pixels = uvlm_product(3, uvlm_product(m->side, m->side)), state = 0;
    if (uvlm_program_arena(&m->encoder, &needed) || needed > m->seeing_bytes) return 0;
    if (uvlm_program_arena(&m->step, &needed) || needed > m->saying_bytes) return 0;
    if (!lies_within(m->pixels_at, pixels, m->seeing_bytes)) return 0;
    if (!lies_within(m->word_at, m->word.hidden, m->saying_bytes) || m->word.words != m->words) return 0;
    if (m->logits_at % 4 || !lies_within(m->logits_at, 4 * (int64_t)m->words, m->saying_bytes)) return 0;
    if (m->map && !lies_within(m->map_at, m->map, m->saying_bytes)) return 0;
    for (int32_t i = 0; i < m->contexts; i++) {
        if (!lies_within(m->context[i].from, m->context[i].bytes, m->seeing_bytes)) return 0;
        if (!lies_within(m->context[i].to, m->context[i].bytes, m->saying_bytes)) return 0;
    }
    for (int32_t i = 0; i < m->states; i++) {
        if (!lies_within(m->state[i].from, m->state[i].bytes, m->saying_bytes)) return 0;
        if (!lies_within(m->state[i].to, m->state[i].bytes, m->saying_bytes)) return 0;
        state += m->state[i].bytes;
    }
    return state == m->state_bytes;
}

/* All that can be known of a blob; with p->memory NULL only how much memory it takes. */
static int lay(uvlm *m, reader *r, pieces *p, int32_t beam) {
    const int32_t *h = read(r, HEAD);
    if (!h || h[MAGIC] != MAGIC_NUMBER || h[VERSION] != UVLM_VERSION || h[BYTES] != r->bytes) return UVLM_BROKEN;
    if ((uint32_t)h[CHECKSUM] != uvlm_checksum(h + SIDE, r->bytes - 4 * SIDE)) return UVLM_BROKEN;
    if (h[SIDE] < 1 || h[SIDE] > 4096 || h[WORDS] < 4 || h[LONGEST] < 1 || h[LONGEST] > UVLM_LONGEST) return UVLM_FOREIGN;
    if (h[CONTEXTS] < 0 || h[CONTEXTS] > 4 || h[STATES] < 1 || h[STATES] > 4 || h[MAP] < 0) return UVLM_FOREIGN;
    if (h[SEEING] < 1 || h[SAYING] < 1 || h[RECORDS] < 4 * HEAD || h[RECORDS] % 4 || h[RECORDS] > r->bytes) {
        return UVLM_FOREIGN;
    }
    m->side = h[SIDE], m->words = h[WORDS], m->longest = h[LONGEST];
    m->map = h[MAP], m->map_at = h[MAP_AT], m->map_zero = h[MAP_ZERO];
    m->beam = beam, m->blob = r->blob;
    m->pixels_at = h[PIXELS_AT], m->word_at = h[WORD_AT], m->logits_at = h[LOGITS_AT];
    m->seeing_bytes = h[SEEING], m->saying_bytes = h[SAYING];
    m->contexts = h[CONTEXTS], m->states = h[STATES], m->state_bytes = 0;
    const int32_t *copies = read(r, 4 * (m->contexts + m->states));
    if (!copies) return UVLM_BROKEN;
    for (int32_t i = 0; i < m->contexts + m->states; i++, copies += 4) {
        uvlm_copy *to = i < m->contexts ? m->context + i : m->state + (i - m->contexts);
        *to = (uvlm_copy){copies[0], copies[1], copies[2], copies[3]};
        if (to->bytes < 1 || to->bytes > (1 << 24)) return UVLM_FOREIGN;
        if (i >= m->contexts) m->state_bytes += to->bytes;
    }
    m->powers = array(r, h[POWERS], r->bytes - h[POWERS], 4 * 257);
    m->logs = array(r, h[LOGS], r->bytes - h[LOGS], 4 * 257);
    m->texts = array(r, h[TEXTS], r->bytes - h[TEXTS], uvlm_product(4, m->words));
    if (!m->powers || !m->logs || !m->texts || r->blob[r->bytes - 1]) return UVLM_FOREIGN; /* the last text ends */
    for (int32_t i = 0; i < m->words; i++) {
        if (m->texts[i] < 4 * HEAD || m->texts[i] >= r->bytes) return UVLM_FOREIGN;
    }
    r->at = (const int32_t *)(const void *)(r->blob + h[RECORDS]);
    int status = records_of(r, p, h[ENCODER], &m->encoder);
    if (!status) status = records_of(r, p, h[STEP], &m->step);
    const int32_t *head = status ? NULL : read(r, 7);
    if (!head || head[0] != UVLM_WORD) return status ? status : UVLM_FOREIGN;
    status = numbers_of(r, UVLM_WORD, &m->word);
    m->seeing = piece(p, m->seeing_bytes);
    m->saying = piece(p, m->saying_bytes);
    m->rows = piece(p, 2 * (int64_t)beam * m->state_bytes);
    m->paths = piece(p, 2 * (int64_t)beam * m->longest * 4);
    m->best = piece(p, beam * (int64_t)sizeof(uvlm_found));
    return status;
}

int uvlm_memory(const void *blob, int64_t bytes, int32_t beam, int64_t *size) {
    if (!blob || !size) return UVLM_NULL;
    if (bytes < 4 * HEAD || bytes > INT32_MAX) return UVLM_BROKEN;
    if (beam < 1 || beam > UVLM_WIDEST || (uintptr_t)blob % 4) return UVLM_RANGE;
    uvlm m;
    reader r = {blob, bytes, blob};
    pieces p = {NULL, 0, 0};
    int status = lay(&m, &r, &p, beam);
    *size = status ? 0 : p.used;
    return status;
}

int uvlm_open(uvlm *m, const void *blob, int64_t bytes, int32_t beam, void *memory, int64_t size) {
    if (!m || !memory) return UVLM_NULL;
    if ((uintptr_t)memory % 16) return UVLM_RANGE;
    int64_t needed;
    int status = uvlm_memory(blob, bytes, beam, &needed);
    if (status) return status;
    if (size < needed) return UVLM_SIZE;
    reader r = {blob, bytes, blob};
    pieces p = {memory, size, 0};
    uvlm made;
    status = lay(&made, &r, &p, beam);
    if (status) return status;
    if (!fits(&made)) return UVLM_FOREIGN;
    *m = made;
    return uvlm_start(m);
}
