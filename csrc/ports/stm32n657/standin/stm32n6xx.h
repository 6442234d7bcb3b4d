/* Stand-in for the device header: of CMSIS what app.c uses, the maintenance of the data cache by address. */
#ifndef STM32N6XX_H
#define STM32N6XX_H

#include <stdint.h>

void SCB_CleanDCache_by_Addr(volatile void *at, int32_t bytes);
void SCB_InvalidateDCache_by_Addr(volatile void *at, int32_t bytes);

#endif
