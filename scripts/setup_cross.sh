#!/usr/bin/env bash
# Installs the aarch64 compiler and user-mode emulator that the NEON tests use.
# Never fails: without them those tests are skipped, and this says so.
set -euo pipefail

have() { command -v "$1" >/dev/null 2>&1; }
complete() { have qemu-aarch64 && have aarch64-linux-gnu-gcc; }

complete && exit 0

if have apt-get && [ "$(id -u)" -eq 0 ]; then
    echo "Installing qemu-user and gcc-aarch64-linux-gnu for the NEON tests ..."
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq --no-install-recommends \
        qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross >/dev/null 2>&1 ||
        { apt-get update -qq >/dev/null 2>&1 &&
            apt-get install -y -qq --no-install-recommends qemu-user \
                gcc-aarch64-linux-gnu libc6-dev-arm64-cross >/dev/null 2>&1; } ||
        true
fi

complete || cat <<'MESSAGE'
NOTE: qemu-aarch64 or aarch64-linux-gnu-gcc is missing: the tests that execute NEON
code will be SKIPPED. On Debian: apt-get install qemu-user gcc-aarch64-linux-gnu
MESSAGE
