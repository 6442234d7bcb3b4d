#!/bin/sh
# The encoder for the NPU: from encoder_int8.onnx to C sources, and to what is flashed. Needs ST Edge AI Core (stedgeai)
# and arm-none-eabi-objcopy; `STEDGEAI=/path/to/stedgeai sh compile.sh` where it is not on the PATH.
#
#   --model                the int8 ONNX that `uvlm quantize` wrote
#   --target               the family of chips
#   --st-neural-art        PROFILE@FILE: which pools and which options of the NPU's compiler, below
#   --input-data-type      pixels come as int8: bytes less 128, which app.c makes of them
#   --output-data-type     contexts go as int8, on the scales that the decoder's step reads
#   --inputs-ch-position   pixels lie as (height, width, channel)
#   --outputs-ch-position  so do the contexts, as the C kernels have them
#   --workspace, --output  folders for what is in between, and for what is made
#
# The profile "uvlm" of neural_art.json has the pools of stm32n657.mpool and these options:
#
#   -O3                          optimise as far as it goes
#   --all-buffers-info           describe all buffers in network.c, which helps when something differs
#   --cache-maintenance          the runtime cleans and invalidates caches around what it computes in software
#   --Ocache-opt                 and does so no more often than needed
#   --Oauto-sched                try several orders of the operators, take the best
#   --native-float               what is not quantized (GRN) is computed in float by the processor
#   --enable-virtual-mem-pools   a value may reach from one bank of RAM into its neighbour
#   --Omax-ca-pipe 4             chain up to four convolution units
#   --Os                         prefer few bytes of code
#   --enable-epoch-controller    the NPU goes through its command list alone
set -eu
cd "$(dirname "$0")"

"${STEDGEAI:-stedgeai}" generate \
    --model encoder_int8.onnx \
    --target stm32n6 \
    --st-neural-art uvlm@neural_art.json \
    --input-data-type int8 \
    --output-data-type int8 \
    --inputs-ch-position chlast \
    --outputs-ch-position chlast \
    --workspace st_ai_ws \
    --output st_ai_output

# To Intel HEX, each with its address in the octo flash: the NPU's weights where the pool octoFlash begins, and the blob
# behind that pool (UVLM_BLOB_AT in project.h).
arm-none-eabi-objcopy -I binary -O ihex --change-addresses 0x70380000 st_ai_output/network_atonbuf.xSPI2.raw weights.hex
arm-none-eabi-objcopy -I binary -O ihex --change-addresses 0x72000000 uvlm_mini.bin blob.hex
