#!/bin/sh
# The kernels, app.c and layers.c as a library for the Cortex-M55: libuvlm.a. Needs arm-none-eabi-gcc, and in INCLUDES the
# folders of ST's headers (ll_aton_runtime.h, stm32n6xx.h, ai_layer_custom_interface.h) as -I flags, with ST's defines:
#
#   INCLUDES="-I.../ll_aton -I.../CMSIS/Include ... -DSTM32N657xx -DLL_ATON_PLATFORM=LL_ATON_PLAT_STM32N6 \
#             -DLL_ATON_OSAL=LL_ATON_OSAL_BARE_METAL -DLL_ATON_RT_MODE=LL_ATON_RT_ASYNC -DLL_ATON_SW_FALLBACK" sh build.sh
#
# SOURCES names which of the two to build (both by default): layers.c is for a build without the NPU. NAME is the network's
# name in network.c, where the tool does not call it Default.
set -eu
cd "$(dirname "$0")"
mkdir -p build
compile() {
    standard="$1"
    shift
    for source in "$@"; do
        arm-none-eabi-gcc -mcpu=cortex-m55 -mthumb -mfloat-abi=hard "-std=$standard" -ffp-contract=off -O3 \
            -ffunction-sections -fdata-sections -I. -Icsrc ${INCLUDES:-} "-DUVLM_NPU_NAME=${NAME:-Default}" \
            -c "$source" -o "build/$(basename "$source" .c).o"
    done
}
compile c99 csrc/*.c                         # the kernels, as they are tested
compile gnu99 ${SOURCES:-app.c layers.c}     # with ST's headers, which want GNU's dialect
rm -f libuvlm.a
arm-none-eabi-ar rcs libuvlm.a build/*.o
