/* From picture to words: what goes to the NPU, what comes back, and who has seen which memory.
 *
 * The NPU reads and writes RAM; the processor does so through its data cache, and nothing keeps the two the same. So
 *
 *     pixels -> input buffer      clean: what the processor wrote must reach the RAM before the NPU reads it
 *     before the NPU runs         invalidate the outputs: a line written back later would destroy what the NPU wrote
 *     after it has run            invalidate them again: a line read meanwhile, by speculation, would be stale
 *
 * The cache knows whole lines of 32 bytes, and the compiler may put an output behind the input within one line: so the
 * input is cleaned first, and then an invalidated line loses nothing. Nothing else of the processor's lies in the NPU's
 * RAM. What the network computes in software in between, the runtime keeps coherent by itself. An output may lie in the
 * input's place: after a run the pixels there are gone. */
#include "app.h"

#include <stdio.h>

#include "ll_aton_runtime.h"
#include "project.h" /* written by `uvlm deploy stm32` */
#include "stm32n6xx.h"

#ifndef UVLM_NPU_NAME
#define UVLM_NPU_NAME Default /* the network's name, as the tool wrote it into network.c */
#endif
#define JOIN(a, b) a##b
#define NAMED(a, b) JOIN(a, b)
#define DECLARE(name) LL_ATON_DECLARE_NAMED_NN_INSTANCE_AND_INTERFACE(name)
DECLARE(UVLM_NPU_NAME);

enum { OUTPUTS = 4, LINE = 32 };

static int8_t memory[UVLM_MEMORY] __attribute__((aligned(32))); /* of the captioner: in the processor's RAM */
static uvlm m;
static uvlm_found best;
static const uvlm_seen seen[] = UVLM_SEEN;

static char line[96];
#define SAY(...) (snprintf(line, sizeof line, __VA_ARGS__), uvlm_board_print(line))

int uvlm_app_open(const void *blob, int64_t bytes, int32_t beam) {
    int status = uvlm_open(&m, blob, bytes, beam, memory, sizeof memory);
    if (!status && m.contexts != (int32_t)(sizeof seen / sizeof seen[0])) status = UVLM_FOREIGN;
    if (status) {
        m.blob = NULL;
        SAY("open: status %d\n", status);
    }
    return status;
}

/* The lines that a buffer lies in: where the first begins, and how many bytes they are. */
static unsigned char *line_of(const LL_Buffer_InfoTypeDef *buffer) {
    unsigned char *at = LL_Buffer_addr_start(buffer);
    return at - (uintptr_t)at % LINE;
}

static int32_t lines_of(const LL_Buffer_InfoTypeDef *buffer) {
    uintptr_t end = (uintptr_t)LL_Buffer_addr_start(buffer) + LL_Buffer_len(buffer);
    return (int32_t)((end + LINE - 1) / LINE * LINE - (uintptr_t)line_of(buffer));
}

static int alike(float a, float b) {
    float apart = a > b ? a - b : b - a;
    return apart <= 0.001f * b;
}

/* Which output is which context: the only one of its size and scale. Where the tool tells no scale, their order. */
static int find(const LL_Buffer_InfoTypeDef *outputs, const LL_Buffer_InfoTypeDef *found[OUTPUTS]) {
    for (int32_t n = 0; n < m.contexts; n++) {
        int32_t count = 0, place = 0;
        found[n] = NULL;
        for (const LL_Buffer_InfoTypeDef *one = outputs; one->name; one++, place++) {
            if (one->type != DataType_INT8 || (int32_t)LL_Buffer_len(one) != seen[n].bytes) continue;
            if (one->scale ? !alike(one->scale[0], seen[n].scale) : place != n) continue;
            found[n] = one;
            count++;
        }
        if (count != 1 || seen[n].bytes != m.context[n].bytes) return UVLM_NPU_OUTPUT;
    }
    return UVLM_OK;
}

int uvlm_app_look(const uint8_t *pixels) {
    if (!m.blob) return UVLM_CLOSED;
    if (!pixels) return UVLM_NULL;
    const LL_Buffer_InfoTypeDef *input = NAMED(LL_ATON_Input_Buffers_Info_, UVLM_NPU_NAME)();
    const LL_Buffer_InfoTypeDef *output[OUTPUTS];
    int32_t bytes = 3 * m.side * m.side;
    if (!input->name || input->type != DataType_INT8 || (int32_t)LL_Buffer_len(input) != bytes) return UVLM_NPU_INPUT;
    int status = find(NAMED(LL_ATON_Output_Buffers_Info_, UVLM_NPU_NAME)(), output);
    if (status) return status;
    unsigned char *to = LL_Buffer_addr_start(input);
    for (int32_t i = 0; i < bytes; i++) to[i] = pixels[i] ^ 128; /* less 128, as int8 */
    SCB_CleanDCache_by_Addr((void *)line_of(input), lines_of(input));
    for (int32_t n = 0; n < m.contexts; n++) {
        SCB_InvalidateDCache_by_Addr((void *)line_of(output[n]), lines_of(output[n])); /* before */
    }
    LL_ATON_RT_Main(&NAMED(NN_Instance_, UVLM_NPU_NAME));
    for (int32_t n = 0; n < m.contexts && !status; n++) {
        SCB_InvalidateDCache_by_Addr((void *)line_of(output[n]), lines_of(output[n])); /* after */
        status = uvlm_context(&m, n, (const int8_t *)LL_Buffer_addr_start(output[n]));
    }
    return status;
}

int uvlm_app_caption(const uint8_t *pixels, uvlm_found *found) {
    uint32_t start = uvlm_board_cycles();
    int status = uvlm_app_look(pixels);
    uint32_t looked = uvlm_board_cycles();
    if (!status) status = uvlm_search(&m, &best);
    if (status) {
        SAY("caption: status %d\n", status);
        return status;
    }
    SAY("cycles look %lu search %lu\n", (unsigned long)(looked - start), (unsigned long)(uvlm_board_cycles() - looked));
    uvlm_board_print("caption");
    for (int32_t i = 0; i < best.count; i++) {
        if (best.words[i] < 4) continue; /* specials say nothing */
        uvlm_board_print(" ");
        uvlm_board_print(uvlm_text(&m, best.words[i]));
    }
    uvlm_board_print("\n");
    if (found) *found = best;
    return UVLM_OK;
}

int uvlm_app_compare(const uint8_t *pixels) {
    int status = uvlm_app_look(pixels);
    if (!status) { /* the same picture in C: what the NPU saw lies in the step's arena, what C sees in the other */
        int8_t *to = m.seeing + m.pixels_at;
        for (int32_t i = 0; i < 3 * m.side * m.side; i++) to[i] = (int8_t)(pixels[i] - 128);
        status = uvlm_program_run(&m.encoder, m.seeing, m.seeing_bytes);
    }
    for (int32_t n = 0; n < m.contexts && !status; n++) {
        int32_t differ = 0, most = 0;
        for (int32_t i = 0; i < m.context[n].bytes; i++) {
            int32_t apart = m.saying[m.context[n].to + i] - m.seeing[m.context[n].from + i];
            apart = apart < 0 ? -apart : apart;
            differ += apart > 0;
            most = apart > most ? apart : most;
        }
        SAY("context %ld of %ld differ %ld by at most %ld\n", (long)n, (long)m.context[n].bytes, (long)differ,
            (long)most);
    }
    if (status) SAY("compare: status %d\n", status);
    return status;
}
