/* Convolution, dense or depthwise. What stands outside the map is zero_x: the bias holds -zero_x times the sum of the
 * weights, so it has to be multiplied like any other number. */
#include "dot_s8.h"
#include "fixed.h"
#include "kernels_s8.h"
#include "mve.h"

static int wrong(const uvlm_conv *r, const void *x, const void *y) {
    if (!r || !x || !y || !r->weight || !r->bias || !r->m || !r->s) return UVLM_NULL;
    if (r->height < 1 || r->width < 1 || r->channels < 1 || r->outputs < 1) return UVLM_SIZE;
    if (r->height > 4096 || r->width > 4096 || r->channels > UVLM_MOST || r->outputs > UVLM_MOST) return UVLM_SIZE;
    if (r->kernel_h < 1 || r->kernel_w < 1 || r->kernel_h > 255 || r->kernel_w > 255) return UVLM_SIZE;
    if (r->stride_y < 1 || r->stride_x < 1 || r->stride_y > 255 || r->stride_x > 255) return UVLM_SIZE;
    if (r->top < 0 || r->left < 0 || r->bottom < 0 || r->right < 0) return UVLM_SIZE;
    if (r->top > 255 || r->left > 255 || r->bottom > 255 || r->right > 255) return UVLM_SIZE;
    if (r->height + r->top + r->bottom < r->kernel_h || r->width + r->left + r->right < r->kernel_w) return UVLM_SIZE;
    if (r->group != 1 && (r->group != r->channels || r->outputs != r->channels)) return UVLM_SIZE;
    if ((int64_t)r->kernel_h * r->kernel_w * (r->group == 1 ? r->channels : 1) > UVLM_MOST) return UVLM_SIZE;
    if (r->lift < 0 || r->lift > 30) return UVLM_RANGE;
    if (r->zero_x < -128 || r->zero_x > 127 || r->zero_y < -128 || r->zero_y > 127) return UVLM_RANGE;
    return UVLM_OK;
}

/* One output number: output channel o of the window whose corner is (top, left). */
static int32_t window(const uvlm_conv *r, const int8_t *x, int32_t top, int32_t left, int32_t o, uvlm_dots *of) {
    int32_t depth = r->group == 1 ? r->channels : 1, sum = 0;
    const int8_t *w = r->group == 1 ? r->weight + (size_t)o * (size_t)(r->kernel_h * r->kernel_w * depth) : r->weight + o;
    size_t next = r->group == 1 ? (size_t)depth : (size_t)r->channels;
    for (int32_t dy = 0; dy < r->kernel_h; dy++) {
        for (int32_t dx = 0; dx < r->kernel_w; dx++, w += next) {
            int32_t i = top + dy, j = left + dx;
            if (i < 0 || i >= r->height || j < 0 || j >= r->width) {
                for (int32_t c = 0; c < depth; c++) sum += w[c] * r->zero_x;
                continue;
            }
            const int8_t *at = x + ((size_t)i * (size_t)r->width + (size_t)j) * (size_t)r->channels;
            int32_t part = 0;
            if (r->group == 1) of(w, at, 1, depth, &part);
            if (r->group != 1) part = *w * at[o];
            sum += part;
        }
    }
    return sum;
}

/* A pointwise convolution to one channel: the map is the matrix then, and the weight the vector. */
static int single(const uvlm_conv *r) {
    return r->group == 1 && r->outputs == 1 && r->kernel_h == 1 && r->kernel_w == 1 && r->stride_y == 1 &&
           r->stride_x == 1 && !r->top && !r->left && !r->bottom && !r->right && r->height * r->width >= 4;
}

static void single_of(const uvlm_conv *r, const int8_t *x, int8_t *y, int32_t places, uvlm_dots *of) {
    for (int32_t l = 0; l < places; l += UVLM_ROWS) {
        int32_t count = places - l < UVLM_ROWS ? places - l : UVLM_ROWS, sums[UVLM_ROWS];
        of(x + (size_t)l * (size_t)r->channels, r->weight, count, r->channels, sums);
        for (int32_t k = 0; k < count; k++) {
            int32_t sum = uvlm_lift(uvlm_sum(sums[k], r->bias[0]), r->lift);
            y[l + k] = uvlm_narrow(uvlm_requantise(sum, r->m[0], r->s[0]), r->zero_y);
        }
    }
}

#ifdef UVLM_HELIUM
enum { FILL = 64 };

/* n numbers of four rows times what stands outside the map, of which `fill` holds FILL. */
static int32x4_t outside(const int8_t *w, int32_t pitch, int32_t n, const int8_t *fill) {
    int32x4_t sum = vdupq_n_s32(0);
    if (!*fill) return sum;
    for (; n > 0; n -= FILL, w += FILL) sum = vaddq_s32(sum, uvlm_dot4_asm(w, pitch, fill, n < FILL ? n : FILL));
    return sum;
}

/* Four outputs of a dense convolution at the edge of the map, where a part of the window lies outside. */
static int32x4_t four_at_edge(const uvlm_conv *r, const int8_t *x, int32_t top, int32_t left, const int8_t *w,
                              const int8_t *fill) {
    int32_t depth = r->channels, row = r->kernel_w * depth, pitch = r->kernel_h * row;
    int32_t from = left < 0 ? -left : 0, to = r->width - left; /* what of a row is inside */
    if (to > r->kernel_w) to = r->kernel_w;
    int32x4_t sum = vdupq_n_s32(0);
    for (int32_t dy = 0; dy < r->kernel_h; dy++, w += row) {
        int32_t i = top + dy;
        if (i < 0 || i >= r->height || from >= to) {
            sum = vaddq_s32(sum, outside(w, pitch, row, fill));
            continue;
        }
        const int8_t *at = x + ((size_t)i * (size_t)r->width + (size_t)(left + from)) * (size_t)depth;
        if (from > 0) sum = vaddq_s32(sum, outside(w, pitch, from * depth, fill));
        sum = vaddq_s32(sum, uvlm_dot4_asm(w + from * depth, pitch, at, (to - from) * depth));
        if (to < r->kernel_w) sum = vaddq_s32(sum, outside(w + to * depth, pitch, (r->kernel_w - to) * depth, fill));
    }
    return sum;
}

/* Whether the whole window lies inside. */
static int inside(const uvlm_conv *r, int32_t top, int32_t left) {
    return top >= 0 && left >= 0 && top + r->kernel_h <= r->height && left + r->kernel_w <= r->width;
}

/* One place of the map of outputs, four of them at a time. A row of the window lies in one piece in the map, as it does
 * in the weights; for a pointwise convolution that is all there is. The last four may be some that were done before. */
static void dense_mve(const uvlm_conv *r, const int8_t *x, int32_t top, int32_t left, const int8_t *fill, int8_t *y) {
    const int32_t outputs = r->outputs, kernel_h = r->kernel_h, row = r->kernel_w * r->channels, size = kernel_h * row;
    const int32_t line = r->width * r->channels, lift = r->lift, zero_y = r->zero_y, whole = inside(r, top, left);
    const int8_t *corner = whole ? x + ((size_t)top * (size_t)r->width + (size_t)left) * (size_t)r->channels : x;
    const int8_t *w = r->weight, *s = r->s;
    const int32_t *bias = r->bias, *m = r->m;
    for (int32_t left_over = outputs; left_over > 0; left_over -= 4) {
        if (left_over < 4) {
            int32_t back = 4 - left_over;
            w -= back * size, s -= back, bias -= back, m -= back, y -= back;
        }
        int32x4_t sum = vldrwq_s32(bias);
        if (whole) {
            const int8_t *at = corner, *of = w;
            for (int32_t dy = kernel_h; dy > 0; dy--, at += line, of += row) {
                sum = vaddq_s32(sum, uvlm_dot4_asm(of, size, at, row));
            }
        } else {
            sum = vaddq_s32(sum, four_at_edge(r, x, top, left, w, fill));
        }
        sum = uvlm_requantise_mve(vshlq_r_s32(sum, lift), vldrwq_s32(m), vldrbq_s32(s));
        vstrbq_s32(y, uvlm_narrow_mve(sum, zero_y));
        w += 4 * size, s += 4, bias += 4, m += 4, y += 4;
    }
}

/* One place of a depthwise convolution, eight channels at a time. VMULLB multiplies the even of eight int16 to int32,
 * VMULLT the odd: so even and odd channels stay apart until VQMOVNB and VQMOVNT put them together again. */
static void depthwise_mve(const uvlm_conv *r, const int8_t *x, int32_t top, int32_t left, const int8_t *fill,
                          int8_t *y) {
    const int32_t channels = r->channels, height = r->height, width = r->width, zero_y = r->zero_y, lift = r->lift;
    const int32_t kernel_h = r->kernel_h, kernel_w = r->kernel_w, whole = inside(r, top, left);
    const int32_t line = (width - kernel_w) * channels; /* from behind one row of the window to the next */
    int32_t c = 0;
    for (; c + 8 <= channels; c += 8) {
        int32x4x2_t bias = vld2q_s32(r->bias + c), m = vld2q_s32(r->m + c);
        int32x4_t even = bias.val[0], odd = bias.val[1];
        const int8_t *w = r->weight + c;
        if (whole) {
            const int8_t *at = x + ((size_t)top * (size_t)width + (size_t)left) * (size_t)channels + c;
            for (int32_t dy = kernel_h; dy > 0; dy--, at += line) {
                for (int32_t dx = kernel_w; dx > 0; dx--, w += channels, at += channels) {
                    int16x8_t a = vldrbq_s16(at), b = vldrbq_s16(w);
                    even = vaddq_s32(even, vmullbq_int_s16(a, b));
                    odd = vaddq_s32(odd, vmulltq_int_s16(a, b));
                }
            }
        } else {
            for (int32_t i = top; i < top + kernel_h; i++) {
                for (int32_t j = left; j < left + kernel_w; j++, w += channels) {
                    size_t at = ((size_t)i * (size_t)width + (size_t)j) * (size_t)channels + (size_t)c;
                    int in = i >= 0 && i < height && j >= 0 && j < width;
                    int16x8_t a = vldrbq_s16(in ? x + at : fill), b = vldrbq_s16(w);
                    even = vaddq_s32(even, vmullbq_int_s16(a, b));
                    odd = vaddq_s32(odd, vmulltq_int_s16(a, b));
                }
            }
        }
        int16x8_t s = vldrbq_s16(r->s + c);
        even = uvlm_requantise_mve(vshlq_r_s32(even, lift), m.val[0], vmovlbq_s16(s));
        odd = uvlm_requantise_mve(vshlq_r_s32(odd, lift), m.val[1], vmovltq_s16(s));
        int16x8_t both = vqmovnbq_s32(vdupq_n_s16(0), vqaddq_n_s32(even, zero_y));
        both = vqmovntq_s32(both, vqaddq_n_s32(odd, zero_y));
        vstrbq_s16(y + c, vreinterpretq_s16_s8(vqmovnbq_s16(vdupq_n_s8(0), both)));
    }
    for (; c < channels; c++) {
        int32_t sum = uvlm_lift(uvlm_sum(window(r, x, top, left, c, uvlm_dots_plain), r->bias[c]), lift);
        y[c] = uvlm_narrow(uvlm_requantise(sum, r->m[c], r->s[c]), zero_y);
    }
}

/* A pointwise convolution to one channel: the map is the matrix, four places at a time, and the weight the vector. The
 * last four may be some that were done before. */
static void single_mve(const uvlm_conv *r, const int8_t *x, int8_t *y, int32_t places) {
    const uvlm_scale_mve by = uvlm_scale_of(r->m[0], r->s[0]);
    const int32_t channels = r->channels, bias = r->bias[0], lift = r->lift, zero_y = r->zero_y;
    for (; places > 0; places -= 4, x += 4 * channels, y += 4) {
        if (places < 4) x -= (4 - places) * channels, y -= 4 - places;
        int32x4_t sum = vaddq_n_s32(uvlm_dot4_asm(x, channels, r->weight, channels), bias);
        vstrbq_s32(y, uvlm_narrow_mve(uvlm_rescale_mve(vshlq_r_s32(sum, lift), by), zero_y));
    }
}

static void conv_mve(const uvlm_conv *r, const int8_t *x, int8_t *y, int32_t high, int32_t broad) {
    int8_t fill[FILL];
    for (int32_t k = 0; k < FILL; k++) fill[k] = (int8_t)r->zero_x;
    for (int32_t i = 0; i < high; i++) {
        for (int32_t j = 0; j < broad; j++, y += r->outputs) {
            int32_t top = i * r->stride_y - r->top, left = j * r->stride_x - r->left;
            if (r->group == 1) dense_mve(r, x, top, left, fill, y);
            else depthwise_mve(r, x, top, left, fill, y);
        }
    }
}
#endif

#ifdef UVLM_WASM
enum { FILL = 64 };

/* n numbers of four rows times what stands outside the map, of which `fill` holds FILL. */
static v128_t outside(const int8_t *w, int32_t pitch, int32_t n, const int8_t *fill) {
    v128_t sum = wasm_i32x4_const_splat(0);
    if (!*fill) return sum;
    for (; n > 0; n -= FILL, w += FILL) {
        sum = wasm_i32x4_add(sum, uvlm_dot4_simd128(w, pitch, fill, n < FILL ? n : FILL));
    }
    return sum;
}

/* Four outputs of a dense convolution at one place. What lies inside of a row of the window lies in one piece in the map,
 * as it does in the weights. */
static v128_t four(const uvlm_conv *r, const int8_t *x, int32_t top, int32_t left, const int8_t *w,
                   const int8_t *fill) {
    int32_t depth = r->channels, row = r->kernel_w * depth, pitch = r->kernel_h * row;
    int32_t from = left < 0 ? -left : 0, to = r->width - left < r->kernel_w ? r->width - left : r->kernel_w;
    v128_t sum = wasm_i32x4_const_splat(0);
    for (int32_t i = top; i < top + r->kernel_h; i++, w += row) {
        if (i < 0 || i >= r->height || from >= to) {
            sum = wasm_i32x4_add(sum, outside(w, pitch, row, fill));
            continue;
        }
        const int8_t *at = x + ((size_t)i * (size_t)r->width + (size_t)(left + from)) * (size_t)depth;
        sum = wasm_i32x4_add(sum, uvlm_dot4_simd128(w + from * depth, pitch, at, (to - from) * depth));
        if (from > 0) sum = wasm_i32x4_add(sum, outside(w, pitch, from * depth, fill));
        if (to < r->kernel_w) {
            sum = wasm_i32x4_add(sum, outside(w + to * depth, pitch, (r->kernel_w - to) * depth, fill));
        }
    }
    return sum;
}

/* Eight channels of a depthwise convolution at one place. A product of two int8 fits in int16. */
static void eight(const uvlm_conv *r, const int8_t *x, int32_t top, int32_t left, int32_t c, int32_t *sums) {
    v128_t low = wasm_i32x4_const_splat(0), high = low, fill = wasm_i16x8_splat((int16_t)r->zero_x);
    const int8_t *w = r->weight + c;
    for (int32_t i = top; i < top + r->kernel_h; i++) {
        for (int32_t j = left; j < left + r->kernel_w; j++, w += r->channels) {
            size_t at = ((size_t)i * (size_t)r->width + (size_t)j) * (size_t)r->channels + (size_t)c;
            int in = i >= 0 && i < r->height && j >= 0 && j < r->width;
            v128_t product = wasm_i16x8_mul(in ? wasm_i16x8_load8x8(x + at) : fill, wasm_i16x8_load8x8(w));
            low = wasm_i32x4_add(low, wasm_i32x4_extend_low_i16x8(product));
            high = wasm_i32x4_add(high, wasm_i32x4_extend_high_i16x8(product));
        }
    }
    wasm_v128_store(sums, low);
    wasm_v128_store(sums + 4, high);
}

static void scaled(const uvlm_conv *r, int32_t o, int32_t count, const int32_t *sums, int8_t *y) {
    for (int32_t k = 0; k < count; k++) {
        int32_t sum = uvlm_lift(uvlm_sum(sums[k], r->bias[o + k]), r->lift);
        y[k] = uvlm_narrow(uvlm_requantise(sum, r->m[o + k], r->s[o + k]), r->zero_y);
    }
}

/* One place of the map of outputs. The last four or eight of them may be some that were done before. */
static void place_simd128(const uvlm_conv *r, const int8_t *x, int32_t top, int32_t left, const int8_t *fill,
                          int8_t *y) {
    int32_t size = r->kernel_h * r->kernel_w * r->channels, block = r->group == 1 ? 4 : 8, sums[8];
    for (int32_t next = 0; next < r->outputs; next += block) {
        int32_t o = next + block <= r->outputs ? next : r->outputs - block;
        if (r->group == 1) wasm_v128_store(sums, four(r, x, top, left, r->weight + (size_t)o * (size_t)size, fill));
        else eight(r, x, top, left, o, sums);
        scaled(r, o, block, sums, y + o);
    }
}

static void conv_simd128(const uvlm_conv *r, const int8_t *x, int8_t *y, int32_t high, int32_t broad) {
    int8_t fill[FILL];
    for (int32_t k = 0; k < FILL; k++) fill[k] = (int8_t)r->zero_x;
    for (int32_t i = 0; i < high; i++) {
        for (int32_t j = 0; j < broad; j++, y += r->outputs) {
            place_simd128(r, x, i * r->stride_y - r->top, j * r->stride_x - r->left, fill, y);
        }
    }
}
#endif

int uvlm_conv_s8_as(int form, const uvlm_conv *r, const int8_t *x, int8_t *y) {
    int status = wrong(r, x, y);
    if (status) return status;
    if (!uvlm_has(form)) return UVLM_FORM;
    uvlm_dots *of = uvlm_dots_of(form);
    int32_t high = (r->height + r->top + r->bottom - r->kernel_h) / r->stride_y + 1;
    int32_t broad = (r->width + r->left + r->right - r->kernel_w) / r->stride_x + 1;
#ifdef UVLM_HELIUM
    if (form == UVLM_MVE && single(r)) {
        single_mve(r, x, y, high * broad);
        return UVLM_OK;
    }
    if (form == UVLM_MVE && (r->group > 1 || r->outputs >= 4)) {
        conv_mve(r, x, y, high, broad);
        return UVLM_OK;
    }
#endif
#ifdef UVLM_WASM
    if (form == UVLM_SIMD128 && r->outputs >= (r->group == 1 ? 4 : 8)) {
        conv_simd128(r, x, y, high, broad);
        return UVLM_OK;
    }
#endif
    if (form != UVLM_PLAIN && single(r)) {
        single_of(r, x, y, high * broad, of);
        return UVLM_OK;
    }
    for (int32_t i = 0; i < high; i++) {
        for (int32_t j = 0; j < broad; j++) {
            for (int32_t o = 0; o < r->outputs; o++) {
                int32_t sum = window(r, x, i * r->stride_y - r->top, j * r->stride_x - r->left, o, of);
                sum = uvlm_lift(uvlm_sum(sum, r->bias[o]), r->lift);
                *y++ = uvlm_narrow(uvlm_requantise(sum, r->m[o], r->s[o]), r->zero_y);
            }
        }
    }
    return UVLM_OK;
}

int uvlm_conv_s8(const uvlm_conv *r, const int8_t *x, int8_t *y) { return uvlm_conv_s8_as(uvlm_form(), r, x, y); }
