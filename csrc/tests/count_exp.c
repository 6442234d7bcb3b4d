/* Instructions of the ways to exp on the emulated Cortex-M55: 1,024 numbers from 0 down to -64.
 *
 * Prints a line a way: name; numbers; instructions. The two in Helium's intrinsics are here alone, to be counted: four
 * numbers at a time, the table read by a gather, the coefficients of both in ordinary registers, from which VFMAS takes
 * them. Ends with 1 if a way is off by more than a millionth and what its argument's rounding adds (exp_f32.h). */
#include <math.h>
#include <stdio.h>

#include "counter.h"
#include "exp_f32.h"
#include "kernels_f32.h"

enum { COUNT = 1024 };

static float x[COUNT], y[COUNT];

static int by_library(void) {
    for (int32_t i = 0; i < COUNT; i++) y[i] = expf(x[i]);
    return UVLM_OK;
}

#ifdef UVLM_HELIUM
static int by_table(void) {
    const float shift = 0x1.8p+19f;
    for (int32_t i = 0; i < COUNT; i += 4) {
        float32x4_t z = vmaxnmq_f32(vmulq_n_f32(vldrwq_f32(x + i), UVLM_LOG2E), vdupq_n_f32(-126.0f));
        float32x4_t t = vaddq_n_f32(z, shift), r = vsubq_f32(z, vsubq_n_f32(t, shift));
        uint32x4_t k = vsubq_n_u32(vreinterpretq_u32_f32(t), (uint32_t)uvlm_bits_f32(shift));
        uint32x4_t place = vandq_u32(k, vdupq_n_u32(15));
        float32x4_t power = vldrwq_gather_shifted_offset_f32(uvlm_powers_f32, place);
        int32x4_t e = vshlq_n_s32(vshrq_n_s32(vreinterpretq_s32_u32(k), 4), 23);
        power = vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(power), e));
        float32x4_t s = vfmasq_n_f32(r, vdupq_n_f32(UVLM_T3), UVLM_T2);
        s = vfmasq_n_f32(vfmasq_n_f32(s, r, UVLM_T1), r, 1.0f);
        vstrwq_f32(y + i, vmulq_f32(power, s));
    }
    return UVLM_OK;
}

static int by_polynomial(void) {
    const float shift = 0x1.8p+23f;
    for (int32_t i = 0; i < COUNT; i += 4) {
        float32x4_t z = vmaxnmq_f32(vmulq_n_f32(vldrwq_f32(x + i), UVLM_LOG2E), vdupq_n_f32(-126.0f));
        float32x4_t t = vaddq_n_f32(z, shift), r = vsubq_f32(z, vsubq_n_f32(t, shift));
        float32x4_t s = vfmasq_n_f32(r, vdupq_n_f32(UVLM_T6), UVLM_T5);
        s = vfmasq_n_f32(vfmasq_n_f32(s, r, UVLM_T4), r, UVLM_T3);
        s = vfmasq_n_f32(vfmasq_n_f32(vfmasq_n_f32(s, r, UVLM_T2), r, UVLM_T1), r, 1.0f);
        int32x4_t e = vshlq_n_s32(vreinterpretq_s32_f32(t), 23);
        vstrwq_f32(y + i, vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(s), e)));
    }
    return UVLM_OK;
}
#endif

static int wrong(void) {
    for (int32_t i = 0; i < COUNT; i++) {
        double off = fabs((double)y[i] / exp((double)x[i]) - 1.0);
        if (!(off < 1e-6 - 1e-7 * (double)x[i])) return 1;
        y[i] = 0.0f;
    }
    return 0;
}

int main(void) {
    uint32_t counted;
    int status, failed = 0;
    for (int32_t i = 0; i < COUNT; i++) x[i] = -(float)i / 16.0f;
#define WAY(name, call)                                              \
    UVLM_COUNT(counted, status = call);                              \
    failed |= status || wrong();                                     \
    printf("%s; %d; %lu\n", name, COUNT, (unsigned long)counted)
    WAY("expf of the C library", by_library());
    WAY("table, plain C", uvlm_exp_f32_lut(x, y, COUNT));
    WAY("polynomial, plain C", uvlm_exp_f32_poly(x, y, COUNT));
#ifdef UVLM_HELIUM
    WAY("table, Helium", by_table());
    WAY("polynomial, Helium", by_polynomial());
#endif
    return failed;
}
