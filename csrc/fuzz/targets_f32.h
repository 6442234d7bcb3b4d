/* The float kernels, as in targets.h. Forms may differ in the last bits; tests/test_kernels_f32.py has the bounds. */
#include "../kernels_f32.h"

/* Mostly numbers between two ends, which a kernel takes; else whatever bits there are, NaN included. */
static void between(const float *x, double count, float low, float high) {
    if (!x || !fuzz_fits() || !(fuzz_byte() & 7)) return;
    for (double i = 0; i < count; i++) {
        float *at = (float *)(uintptr_t)x + (size_t)i;
        uint32_t bits;
        memcpy(&bits, at, 4);
        *at = low + (high - low) * ((float)bits / 4294967296.0f);
    }
}

#define FLOATS(name, count, low, high) IN(float, name, count) between(name, count, low, high);

typedef struct {
    int32_t count;
} counted;
#define MANY(low, high)                                         \
    double count = fuzz_few(r.count, UVLM_MOST_COUNT);          \
    FLOATS(x, count, low, high) OUT(float, y, count)
TARGET(exp_f32_lut, counted, count, LOOSE, MANY(-100, 0), x, y, r.count)
TARGET(exp_f32_poly, counted, count, LOOSE, MANY(-100, 0), x, y, r.count)
TARGET(sigmoid_f32_lut, counted, count, NO_FORMS, MANY(-100, 100), x, y, r.count)
TARGET(softplus_f32_lut, counted, count, NO_FORMS, MANY(-100, 100), x, y, r.count)

#define SSM(steps)                                                                                                    \
    FIELD(A, N(channels) * N(states)) between(r.A, N(channels) * N(states), -16, 0); FIELD(D, N(channels))            \
    FLOATS(delta, (steps) * N(channels), 0, 2) FLOATS(u, (steps) * N(channels), -4, 4)                                \
    IN(float, b, (steps) * N(states)) IN(float, c, (steps) * N(states)) OUT(float, h, N(channels) * N(states)) \
    OUT(float, y, (steps) * N(channels))                                                                              \
    LONG(16 * N(channels) * N(states) * (steps))
#define STEPS NUMBER(steps) SSM(fuzz_size(steps))
TARGET(ssm_check_f32, uvlm_float_ssm, channels, NO_FORMS,
       FIELD(A, N(channels) * N(states)) between(r.A, N(channels) * N(states), -16, 0); FIELD(D, N(channels)), &r)
TARGET(ssm_step_f32, uvlm_float_ssm, channels, NO_FORMS, SSM(1), &r, delta, u, b, c, h, y)
TARGET(ssm_step_f32_lut, uvlm_float_ssm, channels, LOOSE, SSM(1), &r, delta, u, b, c, h, y)
TARGET(ssm_step_f32_poly, uvlm_float_ssm, channels, LOOSE, SSM(1), &r, delta, u, b, c, h, y)
TARGET(ssm_scan_f32, uvlm_float_ssm, channels, NO_FORMS, STEPS, &r, steps, delta, u, b, c, h, y)
TARGET(ssm_scan_f32_lut, uvlm_float_ssm, channels, LOOSE, STEPS, &r, steps, delta, u, b, c, h, y)
TARGET(ssm_scan_f32_poly, uvlm_float_ssm, channels, LOOSE, STEPS, &r, steps, delta, u, b, c, h, y)

TARGET(layer_norm_f32, uvlm_float_layer_norm, hidden, NO_FORMS,
       FIELD(gamma, N(hidden)) FIELD(beta, N(hidden)) FLOATS(x, N(hidden), -8, 8) OUT(float, y, N(hidden))
       if (fuzz_byte() & 7) r.epsilon = 1e-5f, &r, x, y)
TARGET(grn_f32, uvlm_float_grn, positions, NO_FORMS,
       FIELD(gamma, N(channels)) FIELD(beta, N(channels)) FLOATS(x, N(positions) * N(channels), -8, 8)
       OUT(float, y, N(positions) * N(channels)) WORK(double, scratch, N(channels)), &r, x, y, scratch)
TARGET(lstm_step_f32, uvlm_float_lstm, hidden, NO_FORMS,
       FIELD(weight, 4 * N(hidden) * N(columns)) FIELD(bias, 4 * N(hidden)) FIELD(weight_h, 4 * N(hidden) * N(hidden))
       FIELD(bias_h, 4 * N(hidden)) FLOATS(x, N(columns), -8, 8) OUT(float, h, N(hidden)) OUT(float, c, N(hidden))
       WORK(float, scratch, 4 * N(hidden)), &r, x, h, c, scratch)
TARGET(bahdanau_f32, uvlm_float_attention, positions, NO_FORMS,
       FIELD(weight, N(wide) * N(asking)) FIELD(score, N(wide)) FLOATS(x, N(positions) * N(channels), -8, 8)
       FLOATS(keys, N(positions) * N(wide), -8, 8) FLOATS(query, N(asking), -8, 8) OUT(float, y, N(channels))
       OUT(float, share, N(positions)) WORK(float, scratch, N(wide)) LONG(8 * N(positions) * N(wide)),
       &r, x, keys, query, y, share, scratch)
