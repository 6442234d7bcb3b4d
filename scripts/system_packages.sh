#!/bin/sh
# Install the packages of apt.txt that this machine lacks, if the user may; else say in one sentence what to install.
# Usage: system_packages.sh apt.txt [python]
list=$1
python=${2:-python3}

# A tool may have come another way than by its Debian package (a Java of one's own, Chrome instead of Chromium).
present() {
    case $1 in
    make | git | gcc | clang) command -v "$1" ;;
    libclang-rt-dev)
        echo 'int LLVMFuzzerTestOneInput(const char *x, unsigned long n) { return !x && n; }' |
            clang -fsanitize=fuzzer,address,undefined -x c -o /dev/null - ;;
    python3-venv) "$python" -c 'import ensurepip, venv' ;;
    python3-dev) "$python" -c 'import os, sysconfig as s; raise SystemExit(not os.path.exists(s.get_path("include") + "/Python.h"))' ;;
    default-jre-headless) java -version ;;
    gcc-arm-none-eabi) command -v arm-none-eabi-gcc ;;
    libnewlib-arm-none-eabi) echo '#include <stdio.h>' | arm-none-eabi-gcc -E - ;;
    qemu-system-arm) command -v qemu-system-arm ;;
    chromium) command -v chromium || command -v chromium-browser || command -v google-chrome ;;
    *) dpkg-query -W -f '${Status}' "$1" | grep 'ok installed' ;;
    esac >/dev/null 2>&1
}

missing=
for package in $(sed 's/#.*//' "$list"); do
    present "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "This machine has no apt: please install the counterparts of these Debian packages yourself:$missing." >&2
    exit 0
elif [ "$(id -u)" -eq 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root='sudo -n env'
else
    echo "Some system packages are missing, please run: sudo apt-get install$missing" >&2
    exit 0
fi

# A mirror that cannot be reached is no reason to stop: the package lists may be there already.
$as_root apt-get update -q || echo "apt-get update failed; trying with the package lists that are here." >&2
for package in $missing; do
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -q --no-install-recommends "$package" ||
        echo "The system package $package could not be installed; what needs it will say so." >&2
done
exit 0
