/* The custom layers in QEMU, on a real caption: wherever the captioner runs a record that is a custom layer, the layer
 * runs beside it, on the same values and with an arena and a state of its own, and must give the same bytes.
 *
 *     layers PICTURE int8|float     prints kind, number and checksum of every layer's output
 *
 * TOLD, a row for each layer, comes from layers.json: kind, record, then scale and zero point of each tensor. */
#include <stdio.h>
#include <string.h>

#include "ai_layer_custom_interface.h"
#include "embedded.h"
#include "layers.h"
#include "semihost.h"
#include "told.h"

enum { BOS = 1, EOS = 2, TENSORS = 5, LARGEST = 65536 };

static int8_t memory[2][1 << 18] __attribute__((section(".arena"), aligned(16)));
static float room[TENSORS][LARGEST] __attribute__((section(".arena"), aligned(16)));
static int8_t made[LARGEST];
static uint8_t pixels[3 * 64 * 64];
static uvlm m, other; /* the captioner, and the one whose records the layers run */
static int with_float;

static const struct {
    int32_t kind;
    float numbers[1 + 2 * TENSORS];
} told[] = {TOLD};

void custom_init_SelectiveScan(ai_layer *layer);
void custom_forward_SelectiveScan(ai_layer *layer);
void custom_init_LayerNorm(ai_layer *layer);
void custom_forward_LayerNorm(ai_layer *layer);
void custom_init_GRN(ai_layer *layer);
void custom_forward_GRN(ai_layer *layer);

static void need(int ok, const char *what) {
    if (ok) return;
    printf("%s\n", what);
    uvlm_host_exit(1);
}

/* A tensor of `count` numbers; an input holds those that lie `from`. */
static ai_tensor tensor(int32_t place, int32_t count, const int8_t *from, const float *scale) {
    ai_tensor t = {{with_float ? TYPE_FLOAT : TYPE_SIGNED, with_float ? 32 : 8, 0}, (ai_size)count, {NULL}};
    need(count <= LARGEST, "A value is larger than this test has room for.");
    t.data.float32 = room[place];
    for (int32_t i = 0; i < count; i++) {
        int8_t x = from ? from[i] : 99;
        if (with_float) t.data.float32[i] = ((float)x - scale[1]) * scale[0];
        if (!with_float) t.data.s8[i] = x;
    }
    return t;
}

/* The layer of a record, on the values that lie in the captioner's arena; its output goes to `made`. */
static int32_t layer_of(const uvlm_record *record, const float *numbers, const int8_t *arena) {
    int32_t inputs = record->kind == UVLM_SCAN ? 4 : 1, count[4] = {0}, outputs;
    if (record->kind == UVLM_SCAN) {
        const uvlm_scan *n = record->numbers;
        count[0] = count[1] = outputs = n->channels;
        count[2] = count[3] = n->states;
    } else if (record->kind == UVLM_GRN) {
        const uvlm_grn *n = record->numbers;
        count[0] = outputs = n->positions * n->channels;
    } else {
        const uvlm_layer_norm *n = record->numbers;
        count[0] = outputs = n->hidden;
    }
    ai_tensor in[4], out[1], weights[1] = {{{TYPE_FLOAT, 32, 0}, (ai_size)(1 + 2 * (inputs + 1)), {NULL}}};
    float own[1 + 2 * TENSORS];
    memcpy(own, numbers, sizeof own);
    weights[0].data.float32 = own;
    for (int32_t i = 0; i < inputs; i++) in[i] = tensor(i, count[i], arena + record->at[i], own + 1 + 2 * i);
    out[0] = tensor(4, outputs, NULL, own + 1 + 2 * inputs);
    ai_layer_custom l = {7, 0, in, out, weights, (ai_size)inputs, 1, 1};
    if (record->kind == UVLM_SCAN) custom_init_SelectiveScan(&l), custom_forward_SelectiveScan(&l);
    if (record->kind == UVLM_LAYER_NORM) custom_init_LayerNorm(&l), custom_forward_LayerNorm(&l);
    if (record->kind == UVLM_GRN) custom_init_GRN(&l), custom_forward_GRN(&l);
    need(!l.held, "A layer was not released as often as it was got.");
    need(!uvlm_layers_status(), "A layer met a status.");
    for (int32_t i = 0; i < outputs; i++) {
        float value = with_float ? out[0].data.float32[i] / own[1 + 2 * inputs] + own[2 + 2 * inputs] : 0;
        made[i] = with_float ? (int8_t)(value + (value < 0 ? -0.5f : 0.5f)) : out[0].data.s8[i];
    }
    return outputs;
}

static void run(const uvlm_program *p, int8_t *arena, int64_t bytes, int encoder) {
    for (int32_t i = 0; i < p->count; i++) {
        const uvlm_record *record = p->records + i;
        uvlm_program one = {record, 1};
        int32_t outputs = 0;
        for (size_t k = 0; k < sizeof told / sizeof told[0]; k++) {
            if ((told[k].kind == UVLM_GRN) != encoder || (int32_t)told[k].numbers[0] != i) continue;
            need(told[k].kind == record->kind, "layers.json tells another kind of record.");
            outputs = layer_of(record, told[k].numbers, arena);
        }
        need(!uvlm_program_run(&one, arena, bytes), "A record was refused.");
        if (!outputs) continue;
        int32_t last = record->kind == UVLM_SCAN ? 5 : 1;
        need(!memcmp(made, arena + record->at[last], (size_t)outputs), "A layer gives other bytes than its kernel.");
        printf("layer %ld %ld %08lx\n", (long)record->kind, (long)i, (unsigned long)uvlm_checksum(made, outputs));
    }
}

/* A layer that is told something wrong says so and leaves its output. */
static void wrong(void) {
    float numbers[5] = {0, 1, 0, 1, 0}, x[4] = {0}, y[4] = {5, 5, 5, 5};
    ai_tensor in = {{TYPE_FLOAT, 32, 0}, 4, {NULL}}, out = in, weights = {{TYPE_FLOAT, 32, 0}, 5, {NULL}};
    in.data.float32 = x, out.data.float32 = y, weights.data.float32 = numbers;
    ai_layer_custom l = {7, 0, &in, &out, &weights, 1, 1, 1};
    int32_t norm = -1;
    for (int32_t i = 0; i < m.step.count; i++) norm = m.step.records[i].kind == UVLM_LAYER_NORM ? i : norm;
    const float wheres[4] = {-1, 1e9f, (float)norm, (float)norm + 1};
    const int expected[4] = {UVLM_RANGE, UVLM_RANGE, UVLM_SIZE, UVLM_RANGE};
    for (int k = 0; k < 4; k++) {
        numbers[0] = wheres[k];
        uvlm_layers_use(&other);
        custom_forward_LayerNorm(&l);
        need(uvlm_layers_status() == expected[k] && y[0] == 5 && !l.held, "A wrong layer was not refused.");
    }
    uvlm_layers_use(NULL);
    custom_forward_LayerNorm(&l);
    need(uvlm_layers_status() == UVLM_NULL, "A layer ran without a captioner.");
}

int main(int arguments, char **argument) {
    int64_t bytes = uvlm_blob_end - uvlm_blob;
    need(arguments > 2, "Give a picture and the type of the tensors.");
    with_float = !strcmp(argument[2], "float");
    need(!uvlm_open(&m, uvlm_blob, bytes, 1, memory[0], sizeof memory[0]), "The blob was refused.");
    need(!uvlm_open(&other, uvlm_blob, bytes, 1, memory[1], sizeof memory[1]), "The blob was refused.");
    FILE *file = fopen(argument[1], "rb");
    need(file != NULL && fread(pixels, 1, sizeof pixels, file) == sizeof pixels, "The picture could not be read.");
    fclose(file);
    uvlm_layers_use(&other);
    for (size_t i = 0; i < sizeof pixels; i++) m.seeing[m.pixels_at + (int32_t)i] = (int8_t)(pixels[i] - 128);
    run(&m.encoder, m.seeing, m.seeing_bytes, 1);
    for (int32_t n = 0; n < m.contexts; n++) need(!uvlm_context(&m, n, m.seeing + m.context[n].from), "No context.");
    int32_t word = BOS;
    for (int32_t t = 0; t <= m.longest && word != EOS; t++) {
        need(!uvlm_word_s8(&m.word, word, m.saying + m.word_at), "A word was refused.");
        run(&m.step, m.saying, m.saying_bytes, 0);
        for (int32_t k = 0; k < m.states; k++) {
            memmove(m.saying + m.state[k].to, m.saying + m.state[k].from, (size_t)m.state[k].bytes);
        }
        const int32_t *logits = (const int32_t *)(const void *)(m.saying + m.logits_at);
        word = EOS;
        for (int32_t i = EOS; i < m.words; i++) word = logits[i] > logits[word] ? i : word;
        printf("word %ld\n", (long)word);
    }
    wrong();
    return 0;
}
