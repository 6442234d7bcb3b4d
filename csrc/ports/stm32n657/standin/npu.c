/* The NPU's part in tests: the C encoder, behind a data cache that forgets nothing and guesses nothing.
 *
 * The shared memory is there twice: as the processor sees it, through the cache, and as it lies in RAM, where the NPU
 * works. Buffers share lines of the cache with their neighbours, as a compiler may put them. Cleaning copies from the one to the other, invalidating back; nothing else does. So an application that leaves
 * one of them out gets a wrong caption here, as it would, some day, on the board. */
#include "npu.h"

#include <string.h>

#include "ll_aton_runtime.h"
#include "stm32n6xx.h"

enum { OUTPUTS = 4, LARGEST = 64 * 64 * 3, REGION = 32768, LINE = 32, GAP = 16 };
enum { OLD = 0x5A, OLDER = 0xA5 }; /* what lies in cache and RAM before anything is known */

static int8_t memory[1 << 19] __attribute__((section(".arena"), aligned(16)));
static unsigned char cached[REGION] __attribute__((aligned(LINE)));
static unsigned char ram[REGION] __attribute__((aligned(LINE)));
static LL_Buffer_InfoTypeDef input[2], output[OUTPUTS];
static float scales[OUTPUTS];
static int32_t place_of[OUTPUTS]; /* of each context among the outputs */
static uint32_t used;
static uvlm m;

uvlm_npu_faults uvlm_npu;

/* A buffer of the network behind those before, in the middle of a line. */
static LL_Buffer_InfoTypeDef buffer(const char *name, int32_t bytes) {
    LL_Buffer_InfoTypeDef made = {name, {cached}, used + GAP, used + GAP + (uint32_t)bytes, DataType_INT8, NULL};
    used = made.offset_end;
    return made;
}

int uvlm_npu_open(const void *blob, int64_t bytes, const float *scale) {
    int status = uvlm_open(&m, blob, bytes, 1, memory, sizeof memory);
    if (status) return status;
    int64_t all = 3 * (int64_t)m.side * m.side + GAP;
    for (int32_t n = 0; n < m.contexts; n++) all += m.context[n].bytes + GAP;
    if (m.contexts >= OUTPUTS || 3 * m.side * m.side > LARGEST || all > REGION) return UVLM_SIZE;
    memset(cached, OLD, sizeof cached);
    memset(ram, OLDER, sizeof ram);
    memset(output, 0, sizeof output);
    used = 0;
    input[0] = buffer("Input_0_out_0", 3 * m.side * m.side);
    for (int32_t n = 0; n < m.contexts; n++) { /* the tool keeps no names; the last comes first here */
        place_of[n] = scale ? m.contexts - 1 - n : n;
        output[place_of[n]] = buffer("Quantize_out_0", m.context[n].bytes);
        if (!scale) continue;
        scales[n] = scale[n];
        output[place_of[n]].scale = scales + n;
    }
    return UVLM_OK;
}

LL_Buffer_InfoTypeDef *uvlm_npu_output(int32_t place) { return output + place; }

const LL_Buffer_InfoTypeDef *LL_ATON_Input_Buffers_Info_Default(void) { return input; }
const LL_Buffer_InfoTypeDef *LL_ATON_Output_Buffers_Info_Default(void) { return output; }

/* The lines that are named, in both memories. */
static void move(volatile void *at, int32_t bytes, int clean) {
    uintptr_t from = (uintptr_t)at - (uintptr_t)cached;
    if (from % LINE || bytes < 1 || bytes % LINE || from + (size_t)bytes > sizeof cached) {
        uvlm_npu.addresses++;
        return;
    }
    if (clean) memcpy(ram + from, cached + from, (size_t)bytes);
    if (!clean) memcpy(cached + from, ram + from, (size_t)bytes);
}

void SCB_CleanDCache_by_Addr(volatile void *at, int32_t bytes) { move(at, bytes, 1); }
void SCB_InvalidateDCache_by_Addr(volatile void *at, int32_t bytes) { move(at, bytes, 0); }

void LL_ATON_RT_Main(NN_Instance_TypeDef *instance) {
    static uint8_t pixels[LARGEST];
    uvlm_npu.runs += instance && instance->network && !strcmp(instance->network, "Default");
    for (int32_t i = 0; i < 3 * m.side * m.side; i++) pixels[i] = ram[input[0].offset_start + (uint32_t)i] ^ 128;
    for (int32_t n = 0; n < m.contexts; n++) { /* lines that the processor still has to write would come too late */
        uint32_t at = output[place_of[n]].offset_start;
        if (memcmp(cached + at, ram + at, (size_t)m.context[n].bytes)) uvlm_npu.stale++;
    }
    if (uvlm_encode(&m, pixels)) uvlm_npu.refused++;
    memset(ram + input[0].offset_start, OLDER, LL_Buffer_len(input)); /* it may be used for other values, and is */
    for (int32_t n = 0; n < m.contexts; n++) {
        memcpy(ram + output[place_of[n]].offset_start, m.saying + m.context[n].to, (size_t)m.context[n].bytes);
    }
}
