/* log(1 + e) for e from 0 to 1, by a table of 17 numbers and a series: what softplus needs besides exp.
 *
 *     e = i/16 + d,  i the whole number nearest to 16 e,  so that |d| <= 1/32
 *     1 + e = (1 + i/16) (1 + q),  q = d * 16 / (16 + i)
 *     log(1 + e) = logs[i] + log(1 + q),  of which q - q^2/2 + q^3/3 - q^4/4 is left
 *
 * The table of 16 / (16 + i) saves the division. With w = 2^-24, the relative error is
 *
 *     i = 0    q is e, exactly; the series' end q^4/5 / (1 - q)       <= 2.0 * 10^-7
 *              the series' roundings, q times w (1 + 1 + a bit)        <= 1.3 * 10^-7
 *     i > 0    the sum is at least log(1 + 1/32) = 0.0307, and worst there, with i = 1, logs[1] = 0.0606, q = -0.0294:
 *              the series' end q^5/5 / (1 - q)   4.6 * 10^-9, of 0.0307        1.5 * 10^-7
 *              logs[1] off by w 0.0606, q by 2 w 0.0294, the series by 1.1 w 0.0294, together 0.152 w, of 0.0307
 *                                                                              3.0 * 10^-7
 *              the last sum w                                                  0.6 * 10^-7
 *     at most  UVLM_LOG_ERROR                                          <= 5.1 * 10^-7
 */
#ifndef UVLM_LOG_F32_H
#define UVLM_LOG_F32_H

#include <stdint.h>

static const float uvlm_logs_f32[17] = {
    0x0p+0f,        0x1.f0a30cp-5f, 0x1.e27076p-4f, 0x1.5ff308p-3f, 0x1.c8ff7cp-3f, 0x1.1675cap-2f,
    0x1.4618bcp-2f, 0x1.739d8p-2f,  0x1.9f323ep-2f, 0x1.c8ff7cp-2f, 0x1.f128f6p-2f, 0x1.0be72ep-1f,
    0x1.1e85f6p-1f, 0x1.307d74p-1f, 0x1.41d8fep-1f, 0x1.52a2d2p-1f, 0x1.62e43p-1f};

static const float uvlm_inverses_f32[17] = {
    0x1p+0f,        0x1.e1e1e2p-1f, 0x1.c71c72p-1f, 0x1.af286cp-1f, 0x1.99999ap-1f, 0x1.861862p-1f,
    0x1.745d18p-1f, 0x1.642c86p-1f, 0x1.555556p-1f, 0x1.47ae14p-1f, 0x1.3b13b2p-1f, 0x1.2f684cp-1f,
    0x1.24924ap-1f, 0x1.1a7b96p-1f, 0x1.111112p-1f, 0x1.08421p-1f,  0x1p-1f};

static inline float uvlm_log1p_lut(float e) {
    int32_t i = (int32_t)(e * 16.0f + 0.5f);
    float q = (e - (float)i * 0.0625f) * uvlm_inverses_f32[i];
    return uvlm_logs_f32[i] + (q - q * q * (0.5f - q * (0x1.555556p-2f - q * 0.25f)));
}

#endif
