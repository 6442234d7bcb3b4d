/* A whole sequence: the step, `steps` times. Where each input depends on the output before it, as in the decoder, there
 * is nothing to gain here; all step sizes are looked at before the first state is changed. */
#include "ssm_step_f32.h"

enum way { EXPF, TABLE, POLYNOMIAL };

static int scan(enum way way, int form, const uvlm_float_ssm *r, int32_t steps, const float *delta, const float *u,
                const float *b, const float *c, float *h, float *y) {
    int status = uvlm_ssm_wrong_f32(r, steps, delta, u, b, c, h, y);
    if (status) return status;
    if (!uvlm_has(form)) return UVLM_FORM;
    size_t channels = (size_t)r->channels, states = (size_t)r->states;
    for (int32_t t = 0; t < steps; t++, delta += channels, u += channels, b += states, c += states, y += channels) {
        switch (way) {
        case TABLE:
            status |= uvlm_ssm_step_f32_lut_as(form, r, delta, u, b, c, h, y);
            break;
        case POLYNOMIAL:
            status |= uvlm_ssm_step_f32_poly_as(form, r, delta, u, b, c, h, y);
            break;
        default:
            status |= uvlm_ssm_step_f32(r, delta, u, b, c, h, y);
        }
    }
    return status;
}

int uvlm_ssm_scan_f32(const uvlm_float_ssm *r, int32_t steps, const float *delta, const float *u, const float *b,
                      const float *c, float *h, float *y) {
    return scan(EXPF, UVLM_PLAIN, r, steps, delta, u, b, c, h, y);
}

int uvlm_ssm_scan_f32_lut_as(int form, const uvlm_float_ssm *r, int32_t steps, const float *delta, const float *u,
                             const float *b, const float *c, float *h, float *y) {
    return scan(TABLE, form, r, steps, delta, u, b, c, h, y);
}

int uvlm_ssm_scan_f32_lut(const uvlm_float_ssm *r, int32_t steps, const float *delta, const float *u, const float *b,
                          const float *c, float *h, float *y) {
    return scan(TABLE, uvlm_form(), r, steps, delta, u, b, c, h, y);
}

int uvlm_ssm_scan_f32_poly_as(int form, const uvlm_float_ssm *r, int32_t steps, const float *delta, const float *u,
                              const float *b, const float *c, float *h, float *y) {
    return scan(POLYNOMIAL, form, r, steps, delta, u, b, c, h, y);
}

int uvlm_ssm_scan_f32_poly(const uvlm_float_ssm *r, int32_t steps, const float *delta, const float *u, const float *b,
                           const float *c, float *h, float *y) {
    return scan(POLYNOMIAL, uvlm_form(), r, steps, delta, u, b, c, h, y);
}
