/* The stand-in of the NPU, and what went wrong with it. */
#ifndef UVLM_STANDIN_NPU_H
#define UVLM_STANDIN_NPU_H

#include "ll_aton_runtime.h"
#include "uvlm.h"

typedef struct {
    int32_t runs;      /* of the network */
    int32_t addresses; /* cache maintenance of memory that is not shared, or of parts of lines */
    int32_t stale;     /* outputs of which the cache still held something else when the NPU began */
    int32_t refused;   /* the encoder gave a status */
} uvlm_npu_faults;

extern uvlm_npu_faults uvlm_npu;

/* Make the blob's encoder the network. With scales its outputs are in another order than the contexts. */
int uvlm_npu_open(const void *blob, int64_t bytes, const float *scale);

/* An output of the network, to be made wrong. */
LL_Buffer_InfoTypeDef *uvlm_npu_output(int32_t place);

#endif
