/* Convolution, dense or depthwise. What stands outside the map is zero_x: the bias holds -zero_x times the sum of the
 * weights, so it has to be multiplied like any other number. */
#include "dot_s8.h"
#include "fixed.h"
#include "kernels_s8.h"

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

int uvlm_conv_s8_as(int form, const uvlm_conv *r, const int8_t *x, int8_t *y) {
    int status = wrong(r, x, y);
    if (status) return status;
    if (!uvlm_has(form)) return UVLM_FORM;
    uvlm_dots *of = uvlm_dots_of(form);
    int32_t high = (r->height + r->top + r->bottom - r->kernel_h) / r->stride_y + 1;
    int32_t broad = (r->width + r->left + r->right - r->kernel_w) / r->stride_x + 1;
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
