/* From logits to words: log-softmax, greedy search and beam search, to the bit uvlm_mini/quantize/integer_search.py.
 *
 * Scores are logarithms to base 2 in Q16. Ties: the beginning with the lower place goes first, then the word with the
 * lower number; of two equally good captions the one that ended first. */
#include "fixed.h"
#include "uvlm.h"

enum { PAD = 0, BOS = 1, EOS = 2 };                     /* words that say nothing */
enum { FLOOR = -(1 << 23), DEAD = -(1 << 30) };         /* no word is called less likely; no beginning at all */

int uvlm_log_softmax(int32_t *x, int32_t words, const int32_t *powers, const int32_t *logs) {
    if (!x || !powers || !logs) return UVLM_NULL;
    if (words < 3) return UVLM_SIZE;
    int32_t largest = x[EOS];
    int64_t total = 0;
    for (int32_t i = EOS; i < words; i++) largest = x[i] > largest ? x[i] : largest;
    for (int32_t i = EOS; i < words; i++) {
        int64_t below = (int64_t)largest - x[i];
        total += uvlm_power(below > (31 << 16) ? 31 << 16 : (int32_t)below, powers);
    }
    int64_t whole = uvlm_logarithm(total > 0 ? total : 1, logs) - (30 << 16);
    for (int32_t i = EOS; i < words; i++) {
        int64_t log = (int64_t)x[i] - largest - whole;
        x[i] = (int32_t)(log > FLOOR ? log : FLOOR);
    }
    x[PAD] = x[BOS] = DEAD;
    return UVLM_OK;
}

/* Logarithms of the probabilities of the next word. */
static int next(uvlm *m, int32_t word, const int32_t **logs) {
    int status = uvlm_step(m, word, logs);
    if (status) return status;
    return uvlm_log_softmax((int32_t *)(void *)(m->saying + m->logits_at), m->words, m->powers, m->logs);
}

static int greedy(uvlm *m, uvlm_found *found) {
    const int32_t *logs;
    int32_t word = BOS;
    int status = uvlm_start(m);
    found->count = found->score = found->ended = 0;
    for (int32_t t = 0; t <= m->longest && !status && !found->ended; t++) { /* one more for EOS */
        status = next(m, word, &logs);
        if (status) return status;
        word = EOS;
        for (int32_t i = EOS; i < m->words; i++) word = logs[i] > logs[word] ? i : word;
        found->ended = word == EOS;
        if (t == m->longest && !found->ended) break; /* there is no room for another word */
        found->score += logs[word];
        if (!found->ended) found->words[found->count++] = word;
    }
    return status;
}

/* Beam search */

typedef struct {
    int32_t score, parent, word;
} way; /* to go on */

/* Put a way among the best 2 W, behind those that are as good. */
static void offer(way *best, int32_t count, way one) {
    int32_t i = count - 1;
    if (one.score <= best[i].score) return;
    for (; i > 0 && best[i - 1].score < one.score; i--) best[i] = best[i - 1];
    best[i] = one;
}

static void copy(void *to, const void *from, int32_t bytes) {
    int8_t *y = to;
    const int8_t *x = from;
    for (int32_t i = 0; i < bytes; i++) y[i] = x[i];
}

/* A caption, among the best; those that are as good and came before stay in front. */
static void keep(uvlm *m, int32_t *count, const int32_t *words, int32_t length, int32_t score, int32_t ended) {
    if (*count == m->beam && m->best[m->beam - 1].score >= score) return;
    if (*count < m->beam) ++*count;
    int32_t i = *count - 1;
    for (; i > 0 && m->best[i - 1].score < score; i--) m->best[i] = m->best[i - 1];
    copy(m->best[i].words, words, 4 * length);
    m->best[i].count = length;
    m->best[i].score = score;
    m->best[i].ended = ended;
}

/* States and words of the beginnings: two banks, of which one is read while the other is written. */
static int8_t *state_of(const uvlm *m, int32_t bank, int32_t place) {
    return m->rows + (size_t)(bank * m->beam + place) * (size_t)m->state_bytes;
}

static int32_t *path_of(const uvlm *m, int32_t bank, int32_t place) {
    return m->paths + (size_t)(bank * m->beam + place) * (size_t)m->longest;
}

/* The state as it lies in the arena, written to or read from a row of the beam. */
static void save(const uvlm *m, int8_t *to) {
    for (int32_t i = 0; i < m->states; to += m->state[i++].bytes) {
        copy(to, m->saying + m->state[i].to, m->state[i].bytes);
    }
}

static void restore(const uvlm *m, const int8_t *from) {
    for (int32_t i = 0; i < m->states; from += m->state[i++].bytes) {
        copy(m->saying + m->state[i].to, from, m->state[i].bytes);
    }
}

static int beam(uvlm *m, int32_t *ended) {
    int32_t width = m->beam, score[UVLM_WIDEST] = {0}, word[UVLM_WIDEST] = {0};
    int status = uvlm_start(m);
    if (status) return status;
    for (int32_t i = 0; i < width; i++) { /* all beginnings are alike at first: only one may grow */
        score[i] = i ? DEAD : 0;
        word[i] = BOS;
        save(m, state_of(m, 0, i));
    }
    *ended = 0;
    int32_t t = 0;
    for (; t <= m->longest; t++) {
        way best[2 * UVLM_WIDEST], kept[UVLM_WIDEST];
        for (int32_t i = 0; i < 2 * width; i++) best[i] = (way){DEAD, 0, PAD};
        for (int32_t parent = 0; parent < width; parent++) {
            if (score[parent] <= DEAD) continue;
            const int32_t *logs;
            restore(m, state_of(m, 0, parent));
            status = next(m, word[parent], &logs);
            if (status) return status;
            save(m, state_of(m, 1, parent));
            for (int32_t i = EOS; i < m->words; i++) {
                offer(best, 2 * width, (way){score[parent] + logs[i], parent, i});
            }
        }
        for (int32_t i = 0; i < width; i++) {
            if (best[i].word == EOS && best[i].score > DEAD) {
                keep(m, ended, path_of(m, 0, best[i].parent), t, best[i].score, 1);
            }
        }
        if (t == m->longest) break; /* no room for another word: what has not ended is cut off */
        for (int32_t i = 0, n = 0; i < 2 * width && n < width; i++) {
            if (best[i].word != EOS) kept[n++] = best[i]; /* at most one EOS a parent: `width` ways are left */
        }
        for (int32_t i = 0; i < width; i++) {
            score[i] = kept[i].score;
            word[i] = kept[i].word;
            copy(path_of(m, 1, i), path_of(m, 0, kept[i].parent), 4 * t);
            path_of(m, 1, i)[t] = word[i];
            copy(state_of(m, 0, i), state_of(m, 1, kept[i].parent), m->state_bytes);
        }
        for (int32_t i = 0; i < width; i++) copy(path_of(m, 0, i), path_of(m, 1, i), 4 * (t + 1));
        if (*ended == width && m->best[width - 1].score >= score[0]) {
            t++;
            break; /* no living beginning can still overtake: scores only fall */
        }
    }
    if (!*ended) { /* nothing came to its end in time: the likeliest beginnings are all there is */
        for (int32_t i = 0; i < width; i++) {
            if (score[i] > DEAD) keep(m, ended, path_of(m, 0, i), t, score[i], 0);
        }
    }
    return UVLM_OK;
}

static int alike(const uvlm_found *a, const uvlm_found *b) {
    if (a->count != b->count) return 0;
    for (int32_t i = 0; i < a->count; i++) {
        if (a->words[i] != b->words[i]) return 0;
    }
    return 1;
}

int uvlm_search(uvlm *m, uvlm_found *found) {
    if (!m || !found || !m->best) return UVLM_NULL;
    if (m->beam == 1) return greedy(m, found);
    int32_t count = 0;
    int status = beam(m, &count);
    if (status) return status;
    status = greedy(m, found); /* a beam may drop the beginning that greedy search follows, though it ends better */
    if (status) return status;
    int32_t fresh = found->ended;
    for (int32_t i = 0; i < count; i++) fresh = fresh && !alike(found, m->best + i);
    if (fresh) keep(m, &count, found->words, found->count, found->score, 1);
    *found = m->best[0];
    return UVLM_OK;
}

int uvlm_caption(uvlm *m, const uint8_t *pixels, uvlm_found *found) {
    int status = uvlm_encode(m, pixels);
    return status ? status : uvlm_search(m, found);
}
