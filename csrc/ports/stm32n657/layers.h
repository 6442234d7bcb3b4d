/* The operators that the NPU does not take, as custom layers of ST Edge AI for the Cortex-M55: the paper's route.
 *
 * A layer is one record of the blob, run by the same kernel, in the arena of the captioner that the application has
 * opened. Its first weight tensor says which, and how float numbers become int8:
 *
 *     [number of the record, scale and zero point of each input, scale and zero point of the output]
 *
 * Tensors may be int8, which is taken as it is, or float32. `uvlm deploy stm32` writes these numbers to layers.json,
 * custom_layers.py makes Keras layers of them. The SSM's state stays in the arena, from step to step. */
#ifndef UVLM_LAYERS_H
#define UVLM_LAYERS_H

#include "uvlm.h"

/* Whose records the layers run: a captioner that is open, or NULL. Captions start anew, as with uvlm_start. */
int uvlm_layers_use(uvlm *m);

/* The first status that a layer met since then: a layer cannot return one, and leaves its output as it was. */
int uvlm_layers_status(void);

#endif
