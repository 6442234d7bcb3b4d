/* Instructions of LayerNorm and GRN in float32 on the emulated Cortex-M55, at the sizes of preset b: LayerNorm of 512
 * numbers, GRN of 14 x 14 positions and 1,024 channels.
 *
 * Prints a line a way: name; numbers; instructions. The two in Helium's intrinsics are here alone, to be counted: sums in
 * float32, four lanes, where the library's have double. Ends with 1 if a way is off by more than 10^-4 from double. */
#include <math.h>
#include <stdio.h>

#include "counter.h"
#include "kernels_f32.h"
#include "mve.h"

enum { HIDDEN = 512, POSITIONS = 196, WIDE = 1024, ALL = POSITIONS * WIDE };

static float x[ALL] __attribute__((section(".arena"))), y[ALL] __attribute__((section(".arena")));
static float gamma_f[WIDE], beta_f[WIDE];
static double scratch[WIDE];

static uint32_t seed = 1;

static float any(void) { /* from -1 to 1 */
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / 8388608.0f - 1.0f;
}

#ifdef UVLM_HELIUM
static float sum_of(float32x4_t s) { return (s[0] + s[1]) + (s[2] + s[3]); }

static int layer_norm_helium(const uvlm_float_layer_norm *r) {
    float32x4_t s = vdupq_n_f32(0.0f), q = s;
    for (int32_t i = 0; i < r->hidden; i += 4) s = vaddq_f32(s, vldrwq_f32(x + i));
    float mean = sum_of(s) / (float)r->hidden;
    for (int32_t i = 0; i < r->hidden; i += 4) {
        float32x4_t c = vsubq_n_f32(vldrwq_f32(x + i), mean);
        q = vfmaq_f32(q, c, c);
    }
    float scale = 1.0f / sqrtf(sum_of(q) / (float)r->hidden + r->epsilon);
    for (int32_t i = 0; i < r->hidden; i += 4) {
        float32x4_t c = vmulq_n_f32(vsubq_n_f32(vldrwq_f32(x + i), mean), scale);
        vstrwq_f32(y + i, vfmaq_f32(vldrwq_f32(r->beta + i), c, vldrwq_f32(r->gamma + i)));
    }
    return UVLM_OK;
}

static int grn_helium(const uvlm_float_grn *r) {
    static float share[WIDE];
    float sum = 0.0f;
    for (int32_t c = 0; c < r->channels; c += 4) {
        float32x4_t s = vdupq_n_f32(0.0f);
        for (int32_t p = 0; p < r->positions; p++) {
            float32x4_t v = vldrwq_f32(x + p * r->channels + c);
            s = vfmaq_f32(s, v, v);
        }
        vstrwq_f32(share + c, s);
    }
    for (int32_t c = 0; c < r->channels; c++) sum += share[c] = sqrtf(share[c]);
    float by = 1.0f / (sum / (float)r->channels + 1e-6f);
    for (int32_t c = 0; c < r->channels; c++) share[c] = r->gamma[c] * share[c] * by + 1.0f;
    for (int32_t p = 0; p < r->positions; p++) {
        const float *from = x + p * r->channels;
        float *to = y + p * r->channels;
        for (int32_t c = 0; c < r->channels; c += 4) {
            vstrwq_f32(to + c, vfmaq_f32(vldrwq_f32(r->beta + c), vldrwq_f32(from + c), vldrwq_f32(share + c)));
        }
    }
    return UVLM_OK;
}
#endif

static double mean, scale, strength[WIDE];

static double normed(int32_t i) { return ((double)x[i] - mean) * scale * (double)gamma_f[i] + (double)beta_f[i]; }

static double shared(int32_t i) { return (double)x[i] * strength[i % WIDE] + (double)beta_f[i % WIDE]; }

static void prepare(void) {
    double squares = 0.0, sum = 0.0;
    for (int32_t i = 0; i < ALL; i++) x[i] = any() + any() + any();
    for (int32_t c = 0; c < WIDE; c++) gamma_f[c] = any(), beta_f[c] = any();
    for (int32_t i = 0; i < HIDDEN; i++) sum += (double)x[i];
    mean = sum / HIDDEN;
    for (int32_t i = 0; i < HIDDEN; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    scale = 1.0 / sqrt(squares / HIDDEN + 1e-5);
    sum = 0.0;
    for (int32_t c = 0; c < WIDE; c++) {
        strength[c] = 0.0;
        for (int32_t p = 0; p < POSITIONS; p++) strength[c] += (double)x[p * WIDE + c] * (double)x[p * WIDE + c];
        sum += strength[c] = sqrt(strength[c]);
    }
    for (int32_t c = 0; c < WIDE; c++) strength[c] = (double)gamma_f[c] * strength[c] / (sum / WIDE + 1e-6) + 1.0;
}

static int failed;

static void tell(const char *name, int32_t numbers, uint32_t counted, int status, double of(int32_t)) {
    double worst = 0.0;
    for (int32_t i = 0; i < numbers; i++) {
        double error = fabs((double)y[i] - of(i));
        if (!(error <= worst)) worst = error;
        y[i] = 0.0f;
    }
    failed |= status || !(worst <= 1e-4);
    printf("%s; %ld; %lu\n", name, (long)numbers, (unsigned long)counted);
}

int main(void) {
    const uvlm_float_layer_norm layer = {gamma_f, beta_f, HIDDEN, 1e-5f};
    const uvlm_float_grn grn = {gamma_f, beta_f, POSITIONS, WIDE};
    uint32_t counted;
    int status;
    prepare();
    UVLM_COUNT(counted, status = uvlm_layer_norm_f32(&layer, x, y));
    tell("LayerNorm, float32, plain C", HIDDEN, counted, status, normed);
    UVLM_COUNT(counted, status = uvlm_grn_f32(&grn, x, y, scratch));
    tell("GRN, float32, plain C", ALL, counted, status, shared);
#ifdef UVLM_HELIUM
    UVLM_COUNT(counted, status = layer_norm_helium(&layer));
    tell("LayerNorm, float32, Helium", HIDDEN, counted, status, normed);
    UVLM_COUNT(counted, status = grn_helium(&grn));
    tell("GRN, float32, Helium", ALL, counted, status, shared);
#endif
    return failed;
}
