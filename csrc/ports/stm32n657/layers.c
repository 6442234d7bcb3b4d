/* Custom layers: init and forward of each class, as the tool's generated code calls them. */
#include "layers.h"

#include <math.h>

#include "ai_layer_custom_interface.h"

enum { INPUTS = 4 }; /* of the layer that has most */

static uvlm *model;
static int first; /* status */

int uvlm_layers_use(uvlm *m) {
    model = m;
    first = UVLM_OK;
    return m ? uvlm_start(m) : UVLM_OK;
}

int uvlm_layers_status(void) { return first; }

/* A record and its values: how many numbers each input and the output have, and which of its places they are. */
typedef struct {
    uvlm_program program; /* of this record alone */
    int8_t *arena;
    int64_t bytes;
    int32_t inputs, count[INPUTS], outputs; /* numbers */
    int32_t last;                           /* place of the output */
} layer;

static int find(layer *l, int32_t kind, float where) {
    if (!model) return UVLM_NULL;
    const uvlm_program *p = kind == UVLM_GRN ? &model->encoder : &model->step;
    if (!(where >= 0 && where < (float)p->count)) return UVLM_RANGE;
    const uvlm_record *record = p->records + (int32_t)where;
    if (record->kind != kind) return UVLM_RANGE;
    l->program = (uvlm_program){record, 1};
    l->arena = kind == UVLM_GRN ? model->seeing : model->saying;
    l->bytes = kind == UVLM_GRN ? model->seeing_bytes : model->saying_bytes;
    if (kind == UVLM_SCAN) {
        const uvlm_scan *n = record->numbers;
        l->inputs = 4, l->last = 5;
        l->count[0] = l->count[1] = l->outputs = n->channels; /* dt, u and y */
        l->count[2] = l->count[3] = n->states;                /* b and c */
        return UVLM_OK;
    }
    l->inputs = l->last = 1;
    if (kind == UVLM_GRN) {
        const uvlm_grn *n = record->numbers;
        l->count[0] = l->outputs = n->positions * n->channels;
    } else {
        const uvlm_layer_norm *n = record->numbers;
        l->count[0] = l->outputs = n->hidden;
    }
    return UVLM_OK;
}

static int is_float(const ai_tensor *t) { return ai_tensor_get_format(t).type == TYPE_FLOAT; }

/* Whether a tensor has that many numbers, of a kind that can be taken. */
static int fits(const ai_tensor *t, int32_t count) {
    if (!t || ai_tensor_get_data_size(t) != (ai_size)count || !ai_tensor_get_data(t).s8) return 0;
    return ai_tensor_get_data_byte_size(t) == (ai_size)count * (is_float(t) ? 4u : 1u);
}

static void take(const ai_tensor *t, int32_t count, const float *scale, int8_t *to) {
    ai_any_ptr from = ai_tensor_get_data(t);
    for (int32_t i = 0; i < count; i++) {
        if (!is_float(t)) {
            to[i] = from.s8[i];
            continue;
        }
        float q = rintf(from.float32[i] / scale[0]) + scale[1];
        to[i] = q > 127.0f ? 127 : q > -128.0f ? (int8_t)q : -128; /* -128 for what is no number, too */
    }
}

static void give(const ai_tensor *t, int32_t count, const float *scale, const int8_t *from) {
    ai_any_ptr to = ai_tensor_get_data(t);
    for (int32_t i = 0; i < count; i++) {
        if (is_float(t)) {
            to.float32[i] = ((float)from[i] - scale[1]) * scale[0];
        } else {
            to.s8[i] = from[i];
        }
    }
}

static int run(const ai_layer *handle, int32_t kind) {
    layer l;
    const ai_tensor *told = ai_layer_get_tensor_weights(handle, 0);
    if (!told || !is_float(told) || ai_tensor_get_data_size(told) < 1) return UVLM_NULL;
    const float *numbers = ai_tensor_get_data(told).float32;
    if (!numbers) return UVLM_NULL;
    int status = find(&l, kind, numbers[0]);
    if (status) return status;
    if (!fits(told, 1 + 2 * (l.inputs + 1))) return UVLM_SIZE;
    for (int32_t i = 0; i <= l.inputs; i++) {
        if (!(numbers[1 + 2 * i] > 0)) return UVLM_RANGE;
    }
    const ai_tensor *output = ai_layer_get_tensor_out(handle, 0);
    if (!fits(output, l.outputs)) return UVLM_SIZE;
    const int32_t *at = l.program.records->at;
    for (int32_t i = 0; i < l.inputs; i++) {
        const ai_tensor *input = ai_layer_get_tensor_in(handle, (ai_u16)i);
        if (!fits(input, l.count[i])) return UVLM_SIZE;
        take(input, l.count[i], numbers + 1 + 2 * i, l.arena + at[i]);
    }
    status = uvlm_program_run(&l.program, l.arena, l.bytes);
    if (!status) give(output, l.outputs, numbers + 1 + 2 * l.inputs, l.arena + at[l.last]);
    return status;
}

static void forward(ai_layer *handle, int32_t kind) {
    ai_layer_custom *l = ai_layer_custom_get(handle);
    int status = l ? run(l, kind) : UVLM_NULL;
    if (!first) first = status;
    if (l) ai_layer_custom_release(handle);
}

/* What the tool calls, by the names of the Keras classes. Nothing is made ahead: a record is ready as it is. */
void custom_init_SelectiveScan(ai_layer *layer);
void custom_forward_SelectiveScan(ai_layer *layer);
void custom_init_LayerNorm(ai_layer *layer);
void custom_forward_LayerNorm(ai_layer *layer);
void custom_init_GRN(ai_layer *layer);
void custom_forward_GRN(ai_layer *layer);

void custom_init_SelectiveScan(ai_layer *handle) { (void)handle; }
void custom_forward_SelectiveScan(ai_layer *handle) { forward(handle, UVLM_SCAN); }

void custom_init_LayerNorm(ai_layer *handle) { (void)handle; }
void custom_forward_LayerNorm(ai_layer *handle) { forward(handle, UVLM_LAYER_NORM); }

void custom_init_GRN(ai_layer *handle) { (void)handle; }
void custom_forward_GRN(ai_layer *handle) { forward(handle, UVLM_GRN); }
