/* Instructions of the kernels at sizes of the paper's decoder and of a small encoder, on the emulated Cortex-M55.
 *
 * Prints a line a kernel and form: name; form; multiply-adds (or numbers, where it is no product); instructions. */
#include <math.h>
#include <stdio.h>

#include "counter.h"
#include "kernels_s8.h"
#include "mve.h"

enum { ROOM = 1700000, MORE = 65536, WIDE = 2048 };

static uint32_t seed = 1;

static uint32_t any(void) {
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

__attribute__((section(".arena"))) static int8_t weight[ROOM];
static int8_t x[MORE], y[MORE], s[WIDE], s_h[WIDE], table8[256];
static int16_t a16[MORE], h[MORE], mantissa[256], curve[513];
static int32_t bias[WIDE], m[WIDE], m_h[WIDE], wide[WIDE], powers[257], roots[96];

static const char *const names[] = {"plain", "AVX2", "AVX-512", "Helium"};

static void tell(const char *name, int form, int32_t work, uint32_t counted, int status) {
    printf("%s; %s; %ld; %lu\n", name, status ? "refused" : names[form], (long)work, (unsigned long)counted);
}

static void products(int form) {
    static const int32_t sizes[][2] = {{512, 512}, {512, 1024}};
    uint32_t counted;
    int status;
    for (int k = 0; k < 2; k++) {
        char name[40];
        uvlm_gemm r = {weight, bias, m, s, sizes[k][0], sizes[k][1], 4, 3};
        UVLM_COUNT(counted, status = uvlm_gemm_s8_as(form, &r, x, y));
        snprintf(name, sizeof name, "gemm_s8, %ld x %ld", (long)r.rows, (long)r.columns);
        tell(name, form, r.rows * r.columns, counted, status);
    }
    uvlm_lstm l = {.weight = weight, .bias = bias, .m = m, .s = s, .weight_h = weight + 512 * 1024, .bias_h = bias};
    l.m_h = m_h, l.s_h = s_h, l.sigmoid = curve, l.tanh = curve, l.hidden = 256, l.columns = 512;
    l.write_m = m[0], l.write_s = 15, l.c_m = m[0], l.c_s = 1;
    UVLM_COUNT(counted, status = uvlm_lstm_s8_as(form, &l, x, y, h, wide));
    tell("lstm_s8, 256 of 512", form, 4 * 256 * (256 + 512), counted, status);
}

static void convolutions(int form) {
    uvlm_conv r = {.weight = weight, .bias = bias, .m = m, .s = s, .height = 16, .width = 16, .channels = 32};
    uint32_t counted;
    int status;
    r.outputs = 32, r.kernel_h = r.kernel_w = 3, r.stride_y = r.stride_x = 1, r.group = 1, r.lift = 4;
    r.top = r.left = r.bottom = r.right = 1;
    UVLM_COUNT(counted, status = uvlm_conv_s8_as(form, &r, x, y));
    tell("conv_s8, dense 3 x 3, 32 to 32", form, 16 * 16 * 32 * 32 * 9, counted, status);
    r.kernel_h = r.kernel_w = 1, r.top = r.left = r.bottom = r.right = 0, r.channels = r.outputs = 64;
    UVLM_COUNT(counted, status = uvlm_conv_s8_as(form, &r, x, y));
    tell("conv_s8, pointwise, 64 to 64", form, 16 * 16 * 64 * 64, counted, status);
    r.kernel_h = r.kernel_w = 3, r.top = r.left = r.bottom = r.right = 1, r.group = 64;
    UVLM_COUNT(counted, status = uvlm_conv_s8_as(form, &r, x, y));
    tell("conv_s8, depthwise 3 x 3, 64", form, 16 * 16 * 64 * 9, counted, status);
}

static void others(int form) {
    uint32_t counted;
    int status;
    uvlm_scan r = {.mantissa = mantissa, .shift = table8, .A = a16, .A_shift = s_h, .write_m = m};
    r.write_s = s, r.read_m = m, r.read_s = s, r.D = a16, r.channels = 1024, r.states = 16, r.places = 4;
    r.direct_m = m[0], r.direct_s = 8;
    UVLM_COUNT(counted, status = uvlm_scan_s16_as(form, &r, x, x + 2048, x + 4096, x + 5000, h, y));
    tell("scan_s16, 1,024 x 16", form, 1024 * 16, counted, status);
    uvlm_layer_norm n = {a16, bias, roots, 512, 3, 1000, m[0], 18, 2};
    UVLM_COUNT(counted, status = uvlm_layer_norm_s8_as(form, &n, x, y));
    tell("layer_norm_s8, 512", form, 512, counted, status);
    uvlm_grn g = {a16, bias, roots, 49, 128, 3, -4, 12, 10, 100, m[0], 10, 1 << 14, 15};
    UVLM_COUNT(counted, status = uvlm_grn_s8_as(form, &g, x, y, wide));
    tell("grn_s8, 49 x 128", form, 49 * 128, counted, status);
    uvlm_attend a = {196, 256, 3, -4, m[0], 14, 0};
    UVLM_COUNT(counted, status = uvlm_attend_s8_as(form, &a, a16 + 8192, x, y));
    tell("attend_s8, 196 x 256", form, 196 * 256, counted, status);
}

/* Four rows of 1,024 numbers, the inner loop alone, with the sums and the call: four plain sums, intrinsics, assembly. */
static int32_t plain4(void) {
    int32_t sums[4] = {0};
    for (int32_t k = 0; k < 4; k++) {
        for (int32_t i = 0; i < 1024; i++) sums[k] += weight[k * 1024 + i] * x[i];
    }
    return sums[0] ^ sums[1] ^ sums[2] ^ sums[3];
}

#ifdef UVLM_HELIUM
static int32_t intrinsics4(void) {
    int32x4_t sums = uvlm_dot4_mve(weight, 1024, x, 1024);
    return sums[0] ^ sums[1] ^ sums[2] ^ sums[3];
}

static int32_t assembly4(void) {
    int32x4_t sums = uvlm_dot4_asm(weight, 1024, x, 1024);
    return sums[0] ^ sums[1] ^ sums[2] ^ sums[3];
}
#endif

static void loops(void) {
    int32_t (*volatile plain)(void) = plain4;
    uint32_t counted;
    int32_t sum;
    UVLM_COUNT(counted, sum = plain());
    printf("four rows of 1,024; plain; 4096; %lu\n", (unsigned long)counted);
#ifdef UVLM_HELIUM
    int32_t (*volatile intrinsics)(void) = intrinsics4;
    int32_t (*volatile assembly)(void) = assembly4;
    int32_t other;
    UVLM_COUNT(counted, other = intrinsics());
    printf("four rows of 1,024; %s; 4096; %lu\n", other == sum ? "intrinsics" : "wrong", (unsigned long)counted);
    UVLM_COUNT(counted, other = assembly());
    printf("four rows of 1,024; %s; 4096; %lu\n", other == sum ? "assembly" : "wrong", (unsigned long)counted);
#endif
    (void)sum;
}

int main(void) {
    for (int32_t i = 0; i < ROOM; i++) weight[i] = (int8_t)any();
    for (int32_t i = 0; i < MORE; i++) {
        x[i] = (int8_t)any();
        a16[i] = (int16_t)(any() & 0x7FFF);
        h[i] = (int16_t)any();
    }
    for (int32_t i = 0; i < 8192; i++) a16[8192 + i] = (int16_t)(a16[8192 + i] / 196); /* shares */
    for (int32_t i = 0; i < WIDE; i++) {
        bias[i] = (int32_t)(any() & 0xFFFF) - 0x8000;
        m[i] = m_h[i] = (int32_t)(0x40000000u | any());
        s[i] = (int8_t)(10 + any() % 4);
        s_h[i] = (int8_t)(any() % 4);
    }
    for (int32_t i = 0; i < 256; i++) {
        mantissa[i] = (int16_t)(0x4000 | (any() & 0x3FFF));
        table8[i] = (int8_t)(10 + any() % 8);
    }
    for (int i = 0; i < 257; i++) powers[i] = (int32_t)floor(pow(2, 30 - i / 256.0) + 0.5);
    for (int i = 0; i < 96; i++) roots[i] = (int32_t)floor(1073741824.0 / sqrt((32.5 + i) / 128) + 0.5);
    for (int i = 0; i < 513; i++) curve[i] = (int16_t)(32767 * tanh((i - 256) / 32.0));
    loops();
    for (int form = UVLM_PLAIN; form <= UVLM_MVE; form++) {
        if (!uvlm_has(form)) continue;
        products(form);
        convolutions(form);
        others(form);
    }
    return 0;
}
