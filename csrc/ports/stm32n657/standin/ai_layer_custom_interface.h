/* Stand-in for ST Edge AI's interface of custom layers: of it what layers.c uses, written afresh. In a project for the
 * board ST's own header takes its place. */
#ifndef AI_LAYER_CUSTOM_INTERFACE_H
#define AI_LAYER_CUSTOM_INTERFACE_H

#include <stdint.h>

typedef void ai_layer;
typedef uint16_t ai_u16;
typedef uint32_t ai_size;
typedef int8_t ai_i8;
typedef float ai_float;

typedef enum { TYPE_NONE = 0, TYPE_FLOAT, TYPE_BOOL, TYPE_INTEGER, TYPE_SIGNED, TYPE_UNSIGNED } ai_tensor_type;

typedef struct {
    ai_tensor_type type;
    ai_i8 bits, fbits;
} ai_tensor_format;

typedef union {
    ai_i8 *s8;
    ai_float *float32;
} ai_any_ptr;

typedef struct {
    ai_tensor_format format;
    ai_size size; /* numbers */
    ai_any_ptr data;
} ai_tensor;

typedef struct {
    ai_u16 id;
    int32_t held; /* times got, less times released */
    ai_tensor *in, *out, *weights;
    ai_size ins, outs, weight_tensors;
} ai_layer_custom;

ai_layer_custom *ai_layer_custom_get(ai_layer *layer);
void ai_layer_custom_release(ai_layer *layer);
ai_tensor *ai_layer_get_tensor_in(const ai_layer *layer, const ai_u16 pos);
ai_tensor *ai_layer_get_tensor_out(const ai_layer *layer, const ai_u16 pos);
ai_tensor *ai_layer_get_tensor_weights(const ai_layer *layer, const ai_u16 pos);
ai_tensor_format ai_tensor_get_format(const ai_tensor *t);
ai_any_ptr ai_tensor_get_data(const ai_tensor *t);
ai_size ai_tensor_get_data_size(const ai_tensor *t);
ai_size ai_tensor_get_data_byte_size(const ai_tensor *t);

#endif
