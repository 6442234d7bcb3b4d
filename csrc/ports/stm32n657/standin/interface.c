/* The stand-in's side of a custom layer: its tensors, handed out by their places. */
#include "ai_layer_custom_interface.h"

#include <stddef.h>

ai_layer_custom *ai_layer_custom_get(ai_layer *layer) {
    ai_layer_custom *l = layer;
    if (l) l->held++;
    return l;
}

void ai_layer_custom_release(ai_layer *layer) { ((ai_layer_custom *)layer)->held--; }

ai_tensor *ai_layer_get_tensor_in(const ai_layer *layer, const ai_u16 pos) {
    const ai_layer_custom *l = layer;
    return pos < l->ins ? l->in + pos : NULL;
}

ai_tensor *ai_layer_get_tensor_out(const ai_layer *layer, const ai_u16 pos) {
    const ai_layer_custom *l = layer;
    return pos < l->outs ? l->out + pos : NULL;
}

ai_tensor *ai_layer_get_tensor_weights(const ai_layer *layer, const ai_u16 pos) {
    const ai_layer_custom *l = layer;
    return pos < l->weight_tensors ? l->weights + pos : NULL;
}

ai_tensor_format ai_tensor_get_format(const ai_tensor *t) { return t->format; }
ai_any_ptr ai_tensor_get_data(const ai_tensor *t) { return t->data; }
ai_size ai_tensor_get_data_size(const ai_tensor *t) { return t->size; }
ai_size ai_tensor_get_data_byte_size(const ai_tensor *t) { return t->size * (t->format.type == TYPE_FLOAT ? 4u : 1u); }
