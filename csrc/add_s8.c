/* A sum of two values on different scales: each is weighed with an integer factor, and the sum is shifted. A stride of
 * 0 repeats a value, so that one vector is added at every position: GSM's bias map, GCDM's question. */
#include "fixed_x86.h"
#include "kernels_s8.h"
#include "mve.h"
#include "simd128.h"

#if defined(UVLM_X86) || defined(UVLM_HELIUM)
static int64_t size_of(int32_t factor, int32_t zero) {
    return (factor < 0 ? -(int64_t)factor : factor) * (128 + (zero < 0 ? -zero : zero));
}

/* Whether int32 has room for every sum with its half and y's zero point at the place of the shift: then these are in
 * the number that is added anyway. s from 1 to 31. */
static int has_room(const uvlm_add *r) {
    int64_t zero = (int64_t)(r->zero_y < 0 ? -r->zero_y : r->zero_y) << r->s, half = (int64_t)1 << (r->s - 1);
    return size_of(r->factor_x, r->zero_x) + size_of(r->factor_other, r->zero_other) + zero + half <= INT32_MAX;
}
#endif

#ifdef UVLM_X86
/* 16 channels at all positions, then the next 16. A value is dense or the same for all channels (stride 0); one that is
 * the same at all positions is weighed once. The zero points are taken off together: sums are right modulo 2^32, and
 * end within int32. */
UVLM_FOR_AVX512 static void add_avx512(const uvlm_add *r, const int8_t *x, const int8_t *other, int8_t *y) {
    const int32_t dense = r->x_channel, other_dense = r->other_channel, s = r->s, room = has_room(r);
    const int32_t positions = r->positions, channels = r->channels;
    const int32_t next = r->x_position, other_next = r->other_position;
    const int32_t zeros = uvlm_sum(uvlm_times(r->zero_x, r->factor_x), uvlm_times(r->zero_other, r->factor_other));
    const int64_t place = (int64_t)1 << s; /* of y's lowest bit */
    const int32_t end = room ? (int32_t)(r->zero_y * place + place / 2) : 0;
    const __m512i by_x = _mm512_set1_epi32(r->factor_x), by_other = _mm512_set1_epi32(r->factor_other);
    const __m512i start = _mm512_set1_epi32(uvlm_sum(end, uvlm_times(zeros, -1)));
    const __m512i places = _mm512_set1_epi32(s), zero_y = _mm512_set1_epi32(r->zero_y);
    for (int32_t c = 0; c < channels; c += 16) {
        __mmask16 some = channels - c >= 16 ? 0xFFFF : (__mmask16)((1 << (channels - c)) - 1);
        const int8_t *a = x + (dense ? c : 0), *b = other + (other_dense ? c : 0);
        int8_t *to = y + c;
        __m512i rest = start;
        for (int32_t l = 0; l < positions; l++, a += next, b += other_next, to += channels) {
            if (!l || other_next) {
                __m512i v = other_dense ? _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(some, b)) : _mm512_set1_epi32(*b);
                rest = _mm512_add_epi32(_mm512_mullo_epi32(v, by_other), start);
            }
            __m512i u = dense ? _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(some, a)) : _mm512_set1_epi32(*a);
            __m512i sum = _mm512_add_epi32(_mm512_mullo_epi32(u, by_x), rest);
            if (room) sum = _mm512_srav_epi32(sum, places);
            else sum = _mm512_add_epi32(uvlm_shift_half_up_avx512(sum, s), zero_y);
            _mm_mask_storeu_epi8(to, some, _mm512_cvtsepi32_epi8(sum)); /* saturates */
        }
    }
}
#endif

#ifdef UVLM_HELIUM
/* The usual case: 22 places, and room for all. Then y is the sum's upper
 * half (16 places, rounded down), shifted by the other 6, half up, and cut: two instructions for eight, and the zero
 * point is in the number that is added anyway. The half is a whole number at 6 places: rounding down before it changes
 * nothing. (VQSHRN with the half added before would do, too; but GNU's assembler 2.40 writes VQRSHRN for it.) */
enum { USUAL = 22, PIECE = 512 }; /* channels weighed at once: 2 KB of the stack */

static int is_usual(const uvlm_add *r) { return r->s == USUAL && has_room(r); }

/* What is the same for all: the zero points. */
static uint32_t same_for_all(const uvlm_add *r) {
    uint32_t zeros = (uint32_t)r->zero_x * (uint32_t)r->factor_x + (uint32_t)r->zero_other * (uint32_t)r->factor_other;
    return ((uint32_t)r->zero_y << USUAL) - zeros;
}

/* The even sums' upper halves into the odd sums' lower ones: eight of 16 bits in their order; 6 places more, cut. */
#define TO_Y(even, odd)                         \
    "vsri.32 " odd ", " even ", #16\n"          \
    "vqrshrnb.s16 " odd ", " odd ", #6\n"        \
    "vstrb.16 " odd ", [%[y]], #8\n"

/* Eight channels, twice a round; what is left over, once. */
#define ROUNDS(eight)           \
    "lsr lr, %[n], #1\n"        \
    "wls lr, lr, 2f\n"          \
    "1:\n" eight eight          \
    "le lr, 1b\n"               \
    "2:\n"                      \
    "lsls %[n], %[n], #31\n"    \
    "beq 3f\n" eight            \
    "3:\n"

/* Channels of `a` times a factor, plus one number. */
static void plus_one(int32_t eights, const int8_t *a, int32x4_t by, int32_t rest, int8_t *y) {
    __asm volatile(
        ROUNDS(
            "vldrb.s16 q0, [%[a]], #8\n"
            "vmovlb.s16 q1, q0\n" /* the even channels */
            "vmovlt.s16 q0, q0\n" /* the odd ones */
            "vmlas.s32 q1, %q[by], %[rest]\n"
            "vmlas.s32 q0, %q[by], %[rest]\n"
            TO_Y("q1", "q0"))
        : [n] "+r"(eights), [a] "+l"(a), [y] "+l"(y)
        : [by] "t"(by), [rest] "r"(rest)
        : "lr", "q0", "q1", "memory", "cc");
}

/* Channels of `a` times a factor, plus numbers of `weigh`. */
static void plus_weighed(int32_t eights, const int8_t *a, int32_t by, const int32_t *weighed, int8_t *y) {
    __asm volatile(
        ROUNDS(
            "vldrb.s16 q0, [%[a]], #8\n"
            "vmovlb.s16 q2, q0\n"
            "vmovlt.s16 q3, q0\n"
            "vldrw.u32 q0, [%[weighed]], #16\n"
            "vldrw.u32 q1, [%[weighed]], #16\n"
            "vmla.s32 q0, q2, %[by]\n"
            "vmla.s32 q1, q3, %[by]\n"
            TO_Y("q0", "q1"))
        : [n] "+r"(eights), [a] "+l"(a), [weighed] "+r"(weighed), [y] "+l"(y)
        : [by] "r"(by)
        : "lr", "q0", "q1", "q2", "q3", "memory", "cc");
}

/* Channels of `a` and of `b`, each times its factor. */
static void plus_other(int32_t eights, const int8_t *a, int32x4_t by_a, const int8_t *b, int32_t by_b, int32_t rest,
                       int8_t *y) {
    __asm volatile(
        ROUNDS(
            "vldrb.s16 q0, [%[a]], #8\n"
            "vmovlb.s16 q1, q0\n"
            "vmovlt.s16 q0, q0\n"
            "vmlas.s32 q1, %q[by_a], %[rest]\n"
            "vmlas.s32 q0, %q[by_a], %[rest]\n"
            "vldrb.s16 q2, [%[b]], #8\n"
            "vmovlb.s16 q3, q2\n"
            "vmovlt.s16 q2, q2\n"
            "vmla.s32 q1, q3, %[by_b]\n"
            "vmla.s32 q0, q2, %[by_b]\n"
            TO_Y("q1", "q0"))
        : [n] "+r"(eights), [a] "+l"(a), [b] "+l"(b), [y] "+l"(y)
        : [by_a] "t"(by_a), [by_b] "r"(by_b), [rest] "r"(rest)
        : "lr", "q0", "q1", "q2", "q3", "memory", "cc");
}

/* A vector that is added at every position, times its factor, with what is the same for all: of eight channels the even
 * four, then the odd. */
static void weigh(int32_t eights, const int8_t *b, int32_t factor, uint32_t rest, int32_t *weighed) {
    const int32x4_t by = vdupq_n_s32(factor);
    for (; eights > 0; eights--, b += 8, weighed += 8) {
        int16x8_t v = vldrbq_s16(b);
        vstrwq_s32(weighed, vmlasq_n_s32(vmovlbq_s16(v), by, (int32_t)rest));
        vstrwq_s32(weighed + 4, vmlasq_n_s32(vmovltq_s16(v), by, (int32_t)rest));
    }
}

/* All positions, `a` dense, `b` dense or one number a position; strides are those from position to position. How many
 * channels of each were done. */
static int32_t usual_mve(const uvlm_add *r, const int8_t *a, int32_t a_position, int32_t factor_a, const int8_t *b,
                         int32_t b_position, int32_t factor_b, int32_t dense, int8_t *y) {
    const int32_t eights = r->channels >> 3, positions = r->positions, channels = r->channels;
    const uint32_t rest = same_for_all(r);
    if (dense && positions > 1 && (!a_position || !b_position)) {
        const int8_t *still = b_position ? a : b, *moving = b_position ? b : a;
        const int32_t of_still = b_position ? factor_a : factor_b, of_moving = b_position ? factor_b : factor_a;
        const int32_t stride = b_position ? b_position : a_position;
        for (int32_t c = 0; c < eights << 3; c += PIECE) {
            int32_t weighed[PIECE], few = (eights << 3) - c < PIECE ? eights - (c >> 3) : PIECE >> 3;
            weigh(few, still + c, of_still, rest, weighed);
            const int8_t *from = moving + c;
            int8_t *to = y + c;
            for (int32_t l = positions; l > 0; l--, from += stride, to += channels) {
                plus_weighed(few, from, of_moving, weighed, to);
            }
        }
        return eights << 3;
    }
    const int32x4_t by = vdupq_n_s32(factor_a);
    for (int32_t l = positions; l > 0; l--, a += a_position, b += b_position, y += channels) {
        if (dense) plus_other(eights, a, by, b, factor_b, (int32_t)rest, y);
        else plus_one(eights, a, by, (int32_t)((uint32_t)*b * (uint32_t)factor_b + rest), y);
    }
    return eights << 3;
}

/* Any other case, of one position: `a` dense, `b` dense or the same for all; how many channels were done. The zero
 * points are taken off together: sums are right modulo 2^32, and end within int32. */
static int32_t position_mve(const uvlm_add *r, const int8_t *a, const int8_t *b, int32_t factor_a, int32_t factor_b,
                            int32_t dense, int8_t *y) {
    const int32x4_t by = vdupq_n_s32(factor_a);
    const int32_t eights = r->channels >> 3, right = -r->s;
    uint32_t zeros = (uint32_t)r->zero_x * (uint32_t)r->factor_x + (uint32_t)r->zero_other * (uint32_t)r->factor_other;
    int32_t rest = (int32_t)((dense ? 0u : (uint32_t)*b * (uint32_t)factor_b) - zeros);
    for (int32_t k = eights; k > 0; k--, a += 8, b += dense ? 8 : 0, y += 8) {
        int16x8_t u = vldrbq_s16(a), both;
        int32x4_t even = vmlasq_n_s32(vmovlbq_s16(u), by, rest), odd = vmlasq_n_s32(vmovltq_s16(u), by, rest);
        if (dense) {
            int16x8_t v = vldrbq_s16(b);
            even = vmlaq_n_s32(even, vmovlbq_s16(v), factor_b);
            odd = vmlaq_n_s32(odd, vmovltq_s16(v), factor_b);
        }
        even = vrshlq_n_s32(even, right);
        both = vqmovntq_s32(vqmovnbq_s32(vreinterpretq_s16_s32(even), even), vrshlq_n_s32(odd, right));
        both = vqaddq_n_s16(both, (int16_t)r->zero_y);
        vstrbq_s16(y, vreinterpretq_s16_s8(vqmovnbq_s16(vreinterpretq_s8_s16(both), both)));
    }
    return eights << 3;
}
#endif

#ifdef UVLM_WASM
/* Eight channels of one position at a time, each value dense or the same for all; how many were done. */
static int32_t position_simd128(const uvlm_add *r, const int8_t *a, const int8_t *b, int8_t *y) {
    const v128_t zero_x = wasm_i16x8_splat((int16_t)r->zero_x), zero_other = wasm_i16x8_splat((int16_t)r->zero_other);
    const v128_t factor_x = wasm_i32x4_splat(r->factor_x), factor_other = wasm_i32x4_splat(r->factor_other);
    const int32_t channels = r->channels, s = r->s, zero_y = r->zero_y;
    v128_t u = wasm_i16x8_splat(*a), v = wasm_i16x8_splat(*b);
    int32_t c = 0;
    for (; c + 8 <= channels; c += 8) {
        if (r->x_channel) u = wasm_i16x8_load8x8(a + c);
        if (r->other_channel) v = wasm_i16x8_load8x8(b + c);
        v128_t x = wasm_i16x8_sub(u, zero_x), other = wasm_i16x8_sub(v, zero_other);
        v128_t low = wasm_i32x4_mul(wasm_i32x4_extend_low_i16x8(x), factor_x);
        v128_t high = wasm_i32x4_mul(wasm_i32x4_extend_high_i16x8(x), factor_x);
        low = wasm_i32x4_add(low, wasm_i32x4_mul(wasm_i32x4_extend_low_i16x8(other), factor_other));
        high = wasm_i32x4_add(high, wasm_i32x4_mul(wasm_i32x4_extend_high_i16x8(other), factor_other));
        uvlm_narrow_simd128(y + c, uvlm_shift_half_up_simd128(low, s), uvlm_shift_half_up_simd128(high, s), zero_y);
    }
    return c;
}
#endif

int uvlm_add_s8_as(int form, const uvlm_add *r, const int8_t *x, const int8_t *other, int8_t *y) {
    if (!r || !x || !y || (!other && !r->constant)) return UVLM_NULL;
    if (r->positions < 1 || r->channels < 1 || r->positions > UVLM_MOST || r->channels > UVLM_MOST) return UVLM_SIZE;
    if (r->x_position < 0 || r->x_channel < 0 || r->other_position < 0 || r->other_channel < 0) return UVLM_SIZE;
    if (r->s < 0 || r->s > 31) return UVLM_RANGE;
    if (r->zero_x < -128 || r->zero_x > 127 || r->zero_other < -128 || r->zero_other > 127) return UVLM_RANGE;
    if (r->zero_y < -128 || r->zero_y > 127) return UVLM_RANGE;
    if (!uvlm_has(form)) return UVLM_FORM;
    if (r->constant) other = r->constant;
#ifdef UVLM_X86
    if (form == UVLM_AVX512 && r->x_channel <= 1 && r->other_channel <= 1 && r->s > 0) {
        add_avx512(r, x, other, y);
        return UVLM_OK;
    }
#endif
    int32_t done = 0;
#ifdef UVLM_HELIUM
    const int32_t by = r->factor_x, by_other = r->factor_other;
    int32_t usual = form == UVLM_MVE && r->x_channel <= 1 && r->other_channel <= 1 && is_usual(r);
    if (usual && r->x_channel) {
        done = usual_mve(r, x, r->x_position, by, other, r->other_position, by_other, r->other_channel, y);
    } else if (usual && r->other_channel) {
        done = usual_mve(r, other, r->other_position, by_other, x, r->x_position, by, 0, y);
    }
    if (done == r->channels) return UVLM_OK;
#endif
    for (int32_t l = 0; l < r->positions; l++) {
        const int8_t *a = x + (size_t)l * (size_t)r->x_position;
        const int8_t *b = other + (size_t)l * (size_t)r->other_position;
        int32_t c = done;
#ifdef UVLM_HELIUM
        if (form == UVLM_MVE && r->x_channel <= 1 && r->other_channel <= 1) {
            if (!c && r->x_channel) c = position_mve(r, a, b, r->factor_x, r->factor_other, r->other_channel, y);
            else if (!c && r->other_channel) c = position_mve(r, b, a, r->factor_other, r->factor_x, 0, y);
            a += c * r->x_channel, b += c * r->other_channel, y += c;
        }
#endif
#ifdef UVLM_WASM
        if (form == UVLM_SIMD128 && r->x_channel <= 1 && r->other_channel <= 1) {
            c = position_simd128(r, a, b, y);
            a += c * r->x_channel, b += c * r->other_channel, y += c;
        }
#endif
        for (; c < r->channels; c++, a += r->x_channel, b += r->other_channel) {
            int32_t sum =
                uvlm_sum(uvlm_times(*a - r->zero_x, r->factor_x), uvlm_times(*b - r->zero_other, r->factor_other));
            *y++ = uvlm_narrow(uvlm_shift_half_up(sum, r->s), r->zero_y);
        }
    }
    return UVLM_OK;
}

int uvlm_add_s8(const uvlm_add *r, const int8_t *x, const int8_t *other, int8_t *y) {
    return uvlm_add_s8_as(uvlm_form(), r, x, other, y);
}
