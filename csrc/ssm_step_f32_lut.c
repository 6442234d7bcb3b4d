/* One step of the selective SSM with exp from a table. The plain form has the loop of ssm_step_f32.c in four parts, of
 * which a compiler makes instructions for several states at once; the last is a sum, whose order it must not change.
 *
 * exp(delta A) = 2^(delta log2(e) A): the constant is multiplied into delta, once a channel and not once a state. That
 * rounds once more, so that the decay is off by a relative 2.0 * 10^-7 + 1.4 * 10^-7 |delta A| (exp_f32.h), and the
 * state, since |x| exp(x) is at most 1/e, by at most 2.6 * 10^-7 of what it was. */
#include "ssm_step_f32.h"

static void step_plain(const uvlm_float_ssm *r, const float *delta, const float *u, const float *b, const float *c,
                       float *h, float *y) {
    float decay[UVLM_MOST_STATES];
    for (int32_t i = 0; i < r->channels; i++, h += r->states) {
        const float *A = r->A + (size_t)i * (size_t)r->states;
        float step = delta[i] * UVLM_LOG2E, write = delta[i] * u[i], sum = 0.0f;
        for (int32_t n = 0; n < r->states; n++) decay[n] = uvlm_least_f32(step * A[n]);
        for (int32_t n = 0; n < r->states; n++) decay[n] = uvlm_exp2_lut(decay[n]);
        for (int32_t n = 0; n < r->states; n++) h[n] = decay[n] * h[n] + write * b[n];
        for (int32_t n = 0; n < r->states; n++) sum += h[n] * c[n];
        y[i] = sum + r->D[i] * u[i];
    }
}

#ifdef UVLM_X86
UVLM_FOR_AVX2 static void step_avx2(const uvlm_float_ssm *r, const float *delta, const float *u, const float *b,
                                    const float *c, float *h, float *y) {
    uvlm_ssm_avx2(1, r, delta, u, b, c, h, y);
}

UVLM_FOR_AVX512 static void step_avx512(const uvlm_float_ssm *r, const float *delta, const float *u, const float *b,
                                        const float *c, float *h, float *y) {
    uvlm_ssm_avx512(1, r, delta, u, b, c, h, y);
}
#endif

int uvlm_ssm_step_f32_lut_as(int form, const uvlm_float_ssm *r, const float *delta, const float *u, const float *b,
                             const float *c, float *h, float *y) {
    int status = uvlm_ssm_wrong_f32(r, 1, delta, u, b, c, h, y);
    if (status) return status;
    if (!uvlm_has(form)) return UVLM_FORM;
    switch (form) {
#ifdef UVLM_X86
    case UVLM_AVX2:
        step_avx2(r, delta, u, b, c, h, y);
        break;
    case UVLM_AVX512:
        step_avx512(r, delta, u, b, c, h, y);
        break;
#endif
    default:
        step_plain(r, delta, u, b, c, h, y);
    }
    return UVLM_OK;
}

int uvlm_ssm_step_f32_lut(const uvlm_float_ssm *r, const float *delta, const float *u, const float *b, const float *c,
                          float *h, float *y) {
    return uvlm_ssm_step_f32_lut_as(uvlm_form(), r, delta, u, b, c, h, y);
}
