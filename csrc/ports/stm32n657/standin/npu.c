/* The NPU's part in tests: the C encoder, behind a data cache that forgets nothing and guesses nothing.
 *
 * Every shared buffer is there twice: as the processor sees it, through the cache, and as it lies in RAM, where the NPU
 * works. Cleaning copies from the one to the other, invalidating back; nothing else does. So an application that leaves
 * one of them out gets a wrong caption here, as it would, some day, on the board. */
#include "npu.h"

#include <string.h>

#include "ll_aton_runtime.h"
#include "stm32n6xx.h"

enum { BUFFERS = 4, LARGEST = 64 * 64 * 3 };
enum { OLD = 0x5A, OLDER = 0xA5 }; /* what lies in cache and RAM before anything is known */

static int8_t memory[1 << 19] __attribute__((section(".arena"), aligned(16)));
static unsigned char cached[BUFFERS][LARGEST] __attribute__((aligned(32)));
static unsigned char ram[BUFFERS][LARGEST] __attribute__((aligned(32)));
static LL_Buffer_InfoTypeDef input[2], output[BUFFERS];
static float scales[BUFFERS];
static uvlm m;

uvlm_npu_faults uvlm_npu;

static LL_Buffer_InfoTypeDef buffer(const char *name, int32_t place, int32_t bytes) {
    LL_Buffer_InfoTypeDef made = {name, {cached[place]}, 0, (uint32_t)bytes, DataType_INT8, NULL};
    memset(cached[place], OLD, LARGEST);
    memset(ram[place], OLDER, LARGEST);
    return made;
}

int uvlm_npu_open(const void *blob, int64_t bytes, const float *scale) {
    int status = uvlm_open(&m, blob, bytes, 1, memory, sizeof memory);
    if (status) return status;
    if (m.contexts >= BUFFERS || 3 * m.side * m.side > LARGEST) return UVLM_SIZE;
    input[0] = buffer("Input_0_out_0", 0, 3 * m.side * m.side);
    memset(output, 0, sizeof output);
    for (int32_t n = 0; n < m.contexts; n++) { /* the tool keeps no names; the last comes first here */
        int32_t place = scale ? m.contexts - 1 - n : n;
        if (m.context[n].bytes > LARGEST) return UVLM_SIZE;
        output[place] = buffer("Quantize_out_0", 1 + place, m.context[n].bytes);
        if (scale) {
            scales[n] = scale[n];
            output[place].scale = scales + n;
        }
    }
    return UVLM_OK;
}

LL_Buffer_InfoTypeDef *uvlm_npu_output(int32_t place) { return output + place; }

const LL_Buffer_InfoTypeDef *LL_ATON_Input_Buffers_Info_Default(void) { return input; }
const LL_Buffer_InfoTypeDef *LL_ATON_Output_Buffers_Info_Default(void) { return output; }

/* The part of a buffer that is named, in both memories. */
static void move(volatile void *at, int32_t bytes, int clean) {
    uintptr_t from = (uintptr_t)at - (uintptr_t)cached;
    if ((uintptr_t)at % 32 || bytes < 1 || from + (size_t)bytes > sizeof cached) {
        uvlm_npu.addresses++;
        return;
    }
    if (clean) memcpy((unsigned char *)ram + from, (unsigned char *)cached + from, (size_t)bytes);
    if (!clean) memcpy((unsigned char *)cached + from, (unsigned char *)ram + from, (size_t)bytes);
}

void SCB_CleanDCache_by_Addr(volatile void *at, int32_t bytes) { move(at, bytes, 1); }
void SCB_InvalidateDCache_by_Addr(volatile void *at, int32_t bytes) { move(at, bytes, 0); }

void LL_ATON_RT_Main(NN_Instance_TypeDef *instance) {
    static uint8_t pixels[LARGEST];
    uvlm_npu.runs += instance && instance->network && !strcmp(instance->network, "Default");
    for (int32_t i = 0; i < 3 * m.side * m.side; i++) pixels[i] = ram[0][i] ^ 128;
    for (int32_t n = 0; n < m.contexts; n++) { /* lines that the processor still has to write would come too late */
        int32_t place = scales[n] > 0 ? m.contexts - 1 - n : n;
        if (memcmp(cached[1 + place], ram[1 + place], (size_t)m.context[n].bytes)) uvlm_npu.stale++;
    }
    if (uvlm_encode(&m, pixels)) uvlm_npu.refused++;
    for (int32_t n = 0; n < m.contexts; n++) {
        int32_t place = scales[n] > 0 ? m.contexts - 1 - n : n;
        memcpy(ram[1 + place], m.saying + m.context[n].to, (size_t)m.context[n].bytes);
    }
}
