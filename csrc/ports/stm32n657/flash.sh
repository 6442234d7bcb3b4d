#!/bin/sh
# Sign the application, and write everything to the octo flash of an STM32N6570-DK. Needs STM32CubeProgrammer, and
#
#   APP        the application as binary: arm-none-eabi-objcopy -O binary app.elf app.bin
#   FSBL       ST's first-stage boot loader as HEX, from its getting-started project: it copies the application to RAM
#   LOADER     MX66UW1G45G_STM32N6570-DK.stldr, from STM32CubeProgrammer's folder bin/ExternalLoader
#   ALIGN      -align, which STM32CubeProgrammer 2.21 and later need; empty for an older one, which does not know it
#
# Switches: both to the right for flashing (development), both to the left to start from flash; then power off and on.
#
#   -bin, -o   what is signed, and the signed file
#   -nk        no key: the chip is open, the header alone is wanted
#   -t ssbl    a second-stage program, which the boot loader starts
#   -hv 2.3    version of the header that this chip reads
#   -c         connect by SWD, the chip running
#   -el        the loader that knows this flash
#   -hardRst   reset the board by its pin
#   -w         write: a HEX file knows its address, a binary is told it
set -eu
sign="${SIGN:-STM32_SigningTool_CLI}" program="${PROGRAM:-STM32_Programmer_CLI}"
: "${APP:?names no application; build one and set APP=app.bin}"
: "${FSBL:?names no boot loader; set FSBL=.../ai_fsbl.hex}"
: "${LOADER:?names no external loader; set LOADER=.../MX66UW1G45G_STM32N6570-DK.stldr}"
here="$(dirname "$0")"

"$sign" -bin "$APP" -nk -t ssbl -hv 2.3 ${ALIGN--align} -o app_signed.bin

for image in "$FSBL" "$here/weights.hex" "$here/blob.hex"; do
    "$program" -c port=SWD mode=HOTPLUG -el "$LOADER" -hardRst -w "$image"
done
"$program" -c port=SWD mode=HOTPLUG -el "$LOADER" -hardRst -w app_signed.bin 0x70100000
