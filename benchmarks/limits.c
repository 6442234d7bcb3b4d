/* What no kernel of csrc/ can be faster than: reading its bytes, and the recurrence without exp. benchmarks/limits.py
 * compiles this with the kernels' own flags, and benchmarks/kernels.py times it beside them. */
#include "ssm_step_f32.h"

/* declarations */
/* Reads every byte once and returns their sum in some form, so that the compiler cannot leave it out. form: plain, AVX2
 * or AVX-512; ahead: how many bytes ahead the memory is asked for what comes, 0 for not at all; streams: 1, or 4 that
 * begin at each quarter. bytes: a multiple of 2048. -1 if the form is not there. */
int64_t uvlm_read(int form, int ahead, int streams, const int8_t *x, int64_t bytes);

/* Takes all bytes out of all caches, so that they come from memory when they are read next. -1 if the processor has no
 * instruction for it that a program may use. */
int uvlm_flush(const int8_t *x, int64_t bytes);

/* The SSM's step of csrc/kernels_f32.h with exp(delta A) given as `decay` (channels, states). channels: a multiple of
 * 4; states: of 16. */
int uvlm_ssm_step_given(int form, int32_t channels, int32_t states, const float *decay, const float *D,
                        const float *delta, const float *u, const float *b, const float *c, float *h, float *y);
/* end of declarations */

#include <string.h>

/* 64 bytes at a time, one behind the other, or 64 of each quarter. */
static int64_t read_plain(int ahead, int64_t apart, const int8_t *x, int64_t bytes) {
    uint64_t sums[8] = {0};
    (void)ahead;
    for (int64_t i = 0; i < bytes; i += 64) {
        for (int64_t j = 0; j < (apart ? 4 : 1); j++) {
            for (int k = 0; k < 8; k++) {
                uint64_t word;
                memcpy(&word, x + i + j * apart + 8 * k, 8);
                sums[k] += word;
            }
        }
    }
    for (int k = 1; k < 8; k++) sums[0] += sums[k];
    return (int64_t)(sums[0] >> 1);
}

#ifdef UVLM_X86
#define ASK(p) _mm_prefetch((const char *)((uintptr_t)(p) + (uintptr_t)ahead), _MM_HINT_T0)

UVLM_FOR_AVX2 static int64_t read_avx2(int ahead, int64_t apart, const int8_t *x, int64_t bytes) {
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    int64_t next = apart ? apart : 64, step = apart ? 64 : 256;
    for (int64_t i = 0; i < bytes; i += step) {
        const int8_t *p = x + i, *q = p + next, *r = q + next, *s = r + next;
        if (ahead) ASK(p), ASK(q), ASK(r), ASK(s);
        a = _mm256_add_epi64(a, _mm256_loadu_si256((const __m256i *)(const void *)p));
        b = _mm256_add_epi64(b, _mm256_loadu_si256((const __m256i *)(const void *)q));
        c = _mm256_add_epi64(c, _mm256_loadu_si256((const __m256i *)(const void *)r));
        d = _mm256_add_epi64(d, _mm256_loadu_si256((const __m256i *)(const void *)s));
        a = _mm256_add_epi64(a, _mm256_loadu_si256((const __m256i *)(const void *)(p + 32)));
        b = _mm256_add_epi64(b, _mm256_loadu_si256((const __m256i *)(const void *)(q + 32)));
        c = _mm256_add_epi64(c, _mm256_loadu_si256((const __m256i *)(const void *)(r + 32)));
        d = _mm256_add_epi64(d, _mm256_loadu_si256((const __m256i *)(const void *)(s + 32)));
    }
    a = _mm256_add_epi64(_mm256_add_epi64(a, b), _mm256_add_epi64(c, d));
    __m128i e = _mm_add_epi64(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    return (int64_t)((uint64_t)_mm_cvtsi128_si64(_mm_add_epi64(e, _mm_unpackhi_epi64(e, e))) >> 1);
}

UVLM_FOR_AVX512 static int64_t read_avx512(int ahead, int64_t apart, const int8_t *x, int64_t bytes) {
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
    int64_t next = apart ? apart : 64, step = apart ? 64 : 256;
    for (int64_t i = 0; i < bytes; i += step) {
        const int8_t *p = x + i, *q = p + next, *r = q + next, *s = r + next;
        if (ahead) ASK(p), ASK(q), ASK(r), ASK(s);
        a = _mm512_add_epi64(a, _mm512_loadu_si512(p));
        b = _mm512_add_epi64(b, _mm512_loadu_si512(q));
        c = _mm512_add_epi64(c, _mm512_loadu_si512(r));
        d = _mm512_add_epi64(d, _mm512_loadu_si512(s));
    }
    a = _mm512_add_epi64(_mm512_add_epi64(a, b), _mm512_add_epi64(c, d));
    return (int64_t)((uint64_t)_mm512_reduce_add_epi64(a) >> 1);
}
#endif

int64_t uvlm_read(int form, int ahead, int streams, const int8_t *x, int64_t bytes) {
    int64_t apart = streams == 4 ? bytes / 4 : 0, count = apart ? apart : bytes;
    if (!x || bytes < 1 || bytes % 2048 || ahead < 0) return -1;
    switch (form) {
    case UVLM_PLAIN:
        return read_plain(ahead, apart, x, count);
#ifdef UVLM_X86
    case UVLM_AVX2:
        return read_avx2(ahead, apart, x, count);
    case UVLM_AVX512:
        return read_avx512(ahead, apart, x, count);
#endif
    default:
        return -1;
    }
}

#ifdef UVLM_X86
__attribute__((target("sse2"))) static void flush_lines(const int8_t *x, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += 64) _mm_clflush(x + i);
    _mm_clflush(x + bytes - 1);
    _mm_mfence();
}
#endif

int uvlm_flush(const int8_t *x, int64_t bytes) {
    if (!x || bytes < 1) return -1;
#ifdef UVLM_X86
    flush_lines(x, bytes);
    return 0;
#else
    return -1;
#endif
}

static void step_plain(int32_t channels, int32_t states, const float *decay, const float *D, const float *delta,
                       const float *u, const float *b, const float *c, float *h, float *y) {
    for (int32_t i = 0; i < channels; i++, h += states, decay += states) {
        float write = delta[i] * u[i], sum = 0.0f;
        for (int32_t n = 0; n < states; n++) h[n] = decay[n] * h[n] + write * b[n];
        for (int32_t n = 0; n < states; n++) sum += h[n] * c[n];
        y[i] = sum + D[i] * u[i];
    }
}

#ifdef UVLM_X86
UVLM_FOR_AVX2 static void step_avx2(int32_t channels, int32_t states, const float *decay, const float *D,
                                    const float *delta, const float *u, const float *b, const float *c, float *h,
                                    float *y) {
    for (int32_t i = 0; i < channels; i += 4) {
        __m256 s[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
        for (int32_t n = 0; n < states; n += 8) {
            __m256 bn = _mm256_loadu_ps(b + n), cn = _mm256_loadu_ps(c + n);
            for (int32_t j = 0; j < 4; j++) {
                float *at = h + (i + j) * states + n;
                __m256 add = _mm256_mul_ps(_mm256_set1_ps(delta[i + j] * u[i + j]), bn);
                __m256 rate = _mm256_loadu_ps(decay + (i + j) * states + n);
                __m256 now = _mm256_fmadd_ps(rate, _mm256_loadu_ps(at), add);
                _mm256_storeu_ps(at, now);
                s[j] = _mm256_fmadd_ps(now, cn, s[j]);
            }
        }
        __m128 direct = _mm_mul_ps(_mm_loadu_ps(D + i), _mm_loadu_ps(u + i));
        _mm_storeu_ps(y + i, _mm_add_ps(uvlm_sums_avx2(s), direct));
    }
}

UVLM_FOR_AVX512 static void step_avx512(int32_t channels, int32_t states, const float *decay, const float *D,
                                        const float *delta, const float *u, const float *b, const float *c, float *h,
                                        float *y) {
    for (int32_t i = 0; i < channels; i += 4) {
        __m512 s[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
        for (int32_t n = 0; n < states; n += 16) {
            __m512 bn = _mm512_loadu_ps(b + n), cn = _mm512_loadu_ps(c + n);
            for (int32_t j = 0; j < 4; j++) {
                float *at = h + (i + j) * states + n;
                __m512 add = _mm512_mul_ps(_mm512_set1_ps(delta[i + j] * u[i + j]), bn);
                __m512 rate = _mm512_loadu_ps(decay + (i + j) * states + n);
                __m512 now = _mm512_fmadd_ps(rate, _mm512_loadu_ps(at), add);
                _mm512_storeu_ps(at, now);
                s[j] = _mm512_fmadd_ps(now, cn, s[j]);
            }
        }
        __m128 direct = _mm_mul_ps(_mm_loadu_ps(D + i), _mm_loadu_ps(u + i));
        _mm_storeu_ps(y + i, _mm_add_ps(uvlm_sums_avx512(s), direct));
    }
}
#endif

int uvlm_ssm_step_given(int form, int32_t channels, int32_t states, const float *decay, const float *D,
                        const float *delta, const float *u, const float *b, const float *c, float *h, float *y) {
    if (!decay || !D || !delta || !u || !b || !c || !h || !y) return UVLM_NULL;
    if (channels < 4 || channels > UVLM_MOST_F32 || channels % 4) return UVLM_SIZE;
    if (states < 16 || states > UVLM_MOST_STATES || states % 16) return UVLM_SIZE;
    switch (form) {
    case UVLM_PLAIN:
        step_plain(channels, states, decay, D, delta, u, b, c, h, y);
        return UVLM_OK;
#ifdef UVLM_X86
    case UVLM_AVX2:
        step_avx2(channels, states, decay, D, delta, u, b, c, h, y);
        return UVLM_OK;
    case UVLM_AVX512:
        step_avx512(channels, states, decay, D, delta, u, b, c, h, y);
        return UVLM_OK;
#endif
    default:
        return UVLM_FORM;
    }
}
