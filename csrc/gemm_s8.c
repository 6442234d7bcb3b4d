/* int8 matrix times int8 vector, one multiplier and shift a row: where nearly all bytes of a decoder step are read.
 * The products have forms for each processor (dot_s8.h); what follows is one multiplication a row. */
#include <stddef.h>

#include "dot_s8.h"
#include "fixed_x86.h"
#include "kernels_s8.h"
#include "mve.h"

static int wrong(const uvlm_gemm *r, const void *x, const void *y) {
    if (!r || !x || !y || !r->weight || !r->bias || !r->m || !r->s) return UVLM_NULL;
    if (r->rows < 1 || r->columns < 1 || r->rows > UVLM_MOST || r->columns > UVLM_MOST) return UVLM_SIZE;
    if (r->lift < 0 || r->lift > 30 || r->zero_y < -128 || r->zero_y > 127) return UVLM_RANGE;
    return UVLM_OK;
}

/* What follows the products of up to UVLM_ROWS rows, from row `first` on: bias, lift, multiplier, shift. */
static void scaled(const uvlm_gemm *r, int32_t first, int32_t count, int32_t lift, int32_t *sums) {
    for (int32_t k = 0; k < count; k++) {
        int32_t i = first + k;
        sums[k] = uvlm_requantise(uvlm_lift(uvlm_sum(sums[k], r->bias[i]), lift), r->m[i], r->s[i]);
    }
}

#ifdef UVLM_X86
/* All of it; the result goes to y as int8 or to `logits` as int32, whichever is given. */
UVLM_FOR_AVX512 static void gemm_avx512(const uvlm_gemm *r, const int8_t *x, int32_t lift, int8_t *y, int32_t *logits) {
    for (int32_t i = 0; i < r->rows; i += UVLM_ROWS) {
        int32_t count = r->rows - i < UVLM_ROWS ? r->rows - i : UVLM_ROWS, sums[UVLM_ROWS] = {0};
        __mmask16 some = (__mmask16)((1 << count) - 1);
        uvlm_dots_avx512(r->weight + (size_t)i * (size_t)r->columns, x, count, r->columns, sums);
        __m512i sum = _mm512_add_epi32(uvlm_fours_avx512(sums), _mm512_maskz_loadu_epi32(some, r->bias + i));
        __m512i s = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(some, r->s + i));
        sum = _mm512_sll_epi32(sum, _mm_cvtsi32_si128(lift));
        sum = uvlm_requantise_all_avx512(sum, _mm512_maskz_loadu_epi32(some, r->m + i), s);
        if (y) _mm_mask_storeu_epi8(y + i, some, uvlm_narrow_avx512(sum, r->zero_y));
        else _mm512_mask_storeu_epi32(logits + i, some, sum);
    }
}
#endif

#ifdef UVLM_HELIUM
/* Four times `fours` rows, from row `first` on: they share x, and are requantised together while they are in registers.
 * The last four of a matrix may be some that were done before. */
static void fours(const uvlm_gemm *r, const int8_t *x, int8_t *y, int32_t first, int32_t fours) {
    const int8_t *w = r->weight + (size_t)first * (size_t)r->columns, *s = r->s + first;
    const int32_t *bias = r->bias + first, *m = r->m + first;
    int32_t columns = r->columns, lift = r->lift, zero_y = r->zero_y;
    for (y += first; fours > 0; fours--) {
        vstrbq_s32(y, uvlm_narrow_mve(uvlm_rows_mve(w, columns, x, bias, m, s, lift), zero_y));
        w += 4 * columns, bias += 4, m += 4, s += 4, y += 4;
    }
}

/* The same for rows of 32 numbers, as the step sizes' matrix has: x stays in two registers, and row follows row. */
__attribute__((noinline)) static void fours_of_32(const uvlm_gemm *r, const int8_t *x, int8_t *y, int32_t fours) {
    const int8_t *w = r->weight, *s = r->s;
    const int32_t *bias = r->bias, *m = r->m;
    const int8x16_t x0 = vldrbq_s8(x), x1 = vldrbq_s8(x + 16);
    const int32_t lift = r->lift, zero_y = r->zero_y;
    for (; fours > 0; fours--, bias += 4, m += 4, s += 4, y += 4) {
        int32_t a, b, c, d;
        int32x4_t sum;
        __asm(
            "vldrb.8 q0, [%[w]], #16\n"
            "vmladav.s8 %[a], q0, %q[x0]\n"
            "vldrb.8 q1, [%[w]], #16\n"
            "vmladava.s8 %[a], q1, %q[x1]\n"
            "vldrb.8 q0, [%[w]], #16\n"
            "vmladav.s8 %[b], q0, %q[x0]\n"
            "vldrb.8 q1, [%[w]], #16\n"
            "vmladava.s8 %[b], q1, %q[x1]\n"
            "vldrb.8 q0, [%[w]], #16\n"
            "vmladav.s8 %[c], q0, %q[x0]\n"
            "vldrb.8 q1, [%[w]], #16\n"
            "vmladava.s8 %[c], q1, %q[x1]\n"
            "vldrb.8 q0, [%[w]], #16\n"
            "vmladav.s8 %[d], q0, %q[x0]\n"
            "vldrb.8 q1, [%[w]], #16\n"
            "vmladava.s8 %[d], q1, %q[x1]\n"
            "vmov %q[sum][2], %q[sum][0], %[a], %[c]\n"
            "vmov %q[sum][3], %q[sum][1], %[b], %[d]\n"
            : [sum] "=&t"(sum), [a] "=&Te"(a), [b] "=&Te"(b), [c] "=&Te"(c), [d] "=&Te"(d), [w] "+r"(w)
            : [x0] "t"(x0), [x1] "t"(x1)
            : "q0", "q1", "memory");
        sum = vshlq_r_s32(vaddq_s32(sum, vldrwq_s32(bias)), lift);
        vstrbq_s32(y, uvlm_narrow_mve(uvlm_requantise_mve(sum, vldrwq_s32(m), vldrbq_s32(s)), zero_y));
    }
}

static void fours_of_logits(const uvlm_gemm *r, const int8_t *x, int32_t *y, int32_t first, int32_t fours) {
    const int8_t *w = r->weight + (size_t)first * (size_t)r->columns, *s = r->s + first;
    const int32_t *bias = r->bias + first, *m = r->m + first;
    int32_t columns = r->columns;
    for (y += first; fours > 0; fours--) {
        vstrwq_s32(y, uvlm_rows_mve(w, columns, x, bias, m, s, 0));
        w += 4 * columns, bias += 4, m += 4, s += 4, y += 4;
    }
}
#endif

int uvlm_gemm_s8_as(int form, const uvlm_gemm *r, const int8_t *x, int8_t *y) {
    int status = wrong(r, x, y);
    if (status) return status;
    if (!uvlm_has(form)) return UVLM_FORM;
#ifdef UVLM_HELIUM
    if (form == UVLM_MVE && r->rows >= 4) {
        if (r->columns == 32) fours_of_32(r, x, y, r->rows / 4);
        else fours(r, x, y, 0, r->rows / 4);
        if (r->rows % 4) fours(r, x, y, r->rows - 4, 1);
        return UVLM_OK;
    }
#endif
#ifdef UVLM_X86
    if (form == UVLM_AVX512) {
        gemm_avx512(r, x, r->lift, y, NULL);
        return UVLM_OK;
    }
#endif
    uvlm_dots *of = uvlm_dots_of(form);
    for (int32_t i = 0; i < r->rows; i += UVLM_ROWS) {
        int32_t left = r->rows - i, count = left < UVLM_ROWS ? left : UVLM_ROWS, sums[UVLM_ROWS];
        of(r->weight + (size_t)i * (size_t)r->columns, x, count, r->columns, sums);
        scaled(r, i, count, r->lift, sums);
        for (int32_t k = 0; k < count; k++) y[i + k] = uvlm_narrow(sums[k], r->zero_y);
    }
    return UVLM_OK;
}

int uvlm_gemm_s8(const uvlm_gemm *r, const int8_t *x, int8_t *y) { return uvlm_gemm_s8_as(uvlm_form(), r, x, y); }

int uvlm_logits_s8_as(int form, const uvlm_gemm *r, const int8_t *x, int32_t *y) {
    int status = wrong(r, x, y);
    if (status) return status;
    if (!uvlm_has(form)) return UVLM_FORM;
#ifdef UVLM_HELIUM
    if (form == UVLM_MVE && r->rows >= 4) {
        fours_of_logits(r, x, y, 0, r->rows / 4);
        if (r->rows % 4) fours_of_logits(r, x, y, r->rows - 4, 1);
        return UVLM_OK;
    }
#endif
#ifdef UVLM_X86
    if (form == UVLM_AVX512) {
        gemm_avx512(r, x, 0, NULL, y);
        return UVLM_OK;
    }
#endif
    uvlm_dots *of = uvlm_dots_of(form);
    for (int32_t i = 0; i < r->rows; i += UVLM_ROWS) {
        int32_t left = r->rows - i, count = left < UVLM_ROWS ? left : UVLM_ROWS;
        of(r->weight + (size_t)i * (size_t)r->columns, x, count, r->columns, y + i);
        scaled(r, i, count, 0, y + i);
    }
    return UVLM_OK;
}

int uvlm_logits_s8(const uvlm_gemm *r, const int8_t *x, int32_t *y) { return uvlm_logits_s8_as(uvlm_form(), r, x, y); }
