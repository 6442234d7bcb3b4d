/* Stand-in for the header of ST's NPU runtime (LL_ATON), for tests without ST's software: of its interface what app.c
 * uses, written afresh. In a project for the board ST's own header takes its place. */
#ifndef LL_ATON_RUNTIME_H
#define LL_ATON_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

typedef enum { DataType_UNDEFINED = 0, DataType_FLOAT = 1, DataType_UINT8 = 6, DataType_INT8 = 7 } Buffer_DataType_TypeDef;

/* A buffer that network and application share; a list of them ends with one whose name is NULL. */
typedef struct {
    const char *name;
    union {
        unsigned char *p;
        uintptr_t i;
    } addr_base;
    uint32_t offset_start, offset_end;
    Buffer_DataType_TypeDef type;
    const float *scale; /* of its numbers */
} LL_Buffer_InfoTypeDef;

static inline unsigned char *LL_Buffer_addr_start(const LL_Buffer_InfoTypeDef *buffer) {
    return buffer->addr_base.p + buffer->offset_start;
}

static inline uint32_t LL_Buffer_len(const LL_Buffer_InfoTypeDef *buffer) {
    return buffer->offset_end - buffer->offset_start;
}

typedef struct {
    const char *network;
} NN_Instance_TypeDef;

/* The network's functions, which the tool writes to network.c, and an instance of it. */
#define LL_ATON_DECLARE_NAMED_NN_INSTANCE_AND_INTERFACE(name)             \
    const LL_Buffer_InfoTypeDef *LL_ATON_Input_Buffers_Info_##name(void);  \
    const LL_Buffer_InfoTypeDef *LL_ATON_Output_Buffers_Info_##name(void); \
    static NN_Instance_TypeDef NN_Instance_##name = {#name}

void LL_ATON_RT_Main(NN_Instance_TypeDef *instance);

#endif
