/* The captioner's two networks: what the encoder gives goes to the step, and from step to step goes the state.
 *
 *     bytes of a picture --> encoder --> x, signal, gate --.
 *                                                          v
 *     word number --> row of the embedding --> word --> step --> logits
 *                                               h, y -->  |
 *                                                ^--------'
 */
#include "uvlm.h"

static void copy(int8_t *to, const int8_t *from, int32_t bytes) {
    for (int32_t i = 0; i < bytes; i++) to[i] = from[i];
}

int uvlm_start(uvlm *m) {
    if (!m || !m->saying) return UVLM_NULL;
    for (int32_t k = 0; k < m->states; k++) {
        int8_t *to = m->saying + m->state[k].to;
        for (int32_t i = 0; i < m->state[k].bytes; i++) to[i] = (int8_t)m->state[k].fill;
    }
    return UVLM_OK;
}

int uvlm_encode(uvlm *m, const uint8_t *pixels) {
    if (!m || !pixels || !m->seeing) return UVLM_NULL;
    int8_t *to = m->seeing + m->pixels_at;
    for (int32_t i = 0; i < 3 * m->side * m->side; i++) to[i] = (int8_t)(pixels[i] - 128);
    int status = uvlm_program_run(&m->encoder, m->seeing, m->seeing_bytes);
    if (status) return status;
    for (int32_t k = 0; k < m->contexts; k++) {
        copy(m->saying + m->context[k].to, m->seeing + m->context[k].from, m->context[k].bytes);
    }
    return uvlm_start(m);
}

int uvlm_context(uvlm *m, int32_t n, const int8_t *data) {
    if (!m || !data || !m->saying) return UVLM_NULL;
    if (n < 0 || n >= m->contexts) return UVLM_RANGE;
    copy(m->saying + m->context[n].to, data, m->context[n].bytes);
    return uvlm_start(m);
}

int uvlm_step(uvlm *m, int32_t word, const int32_t **logits) {
    if (!m || !logits || !m->saying) return UVLM_NULL;
    int status = uvlm_word_s8(&m->word, word, m->saying + m->word_at);
    if (status) return status;
    status = uvlm_program_run(&m->step, m->saying, m->saying_bytes);
    if (status) return status;
    for (int32_t k = 0; k < m->states; k++) { /* the state after the step becomes the one before the next */
        if (m->state[k].from != m->state[k].to) {
            copy(m->saying + m->state[k].to, m->saying + m->state[k].from, m->state[k].bytes);
        }
    }
    *logits = (const int32_t *)(const void *)(m->saying + m->logits_at);
    return UVLM_OK;
}

const int8_t *uvlm_bias(const uvlm *m) { return m && m->saying && m->map ? m->saying + m->map_at : NULL; }

const char *uvlm_text(const uvlm *m, int32_t word) {
    return m && m->texts && word >= 0 && word < m->words ? (const char *)m->blob + m->texts[word] : "";
}
