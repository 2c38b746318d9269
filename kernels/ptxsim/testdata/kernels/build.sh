#!/bin/sh
# Rebuilds the PTX of this folder. The output is committed, so that clang-22 is needed only to change a source.
set -e
cd "$(dirname "$0")"
build() {
  clang-22 -x cuda --cuda-device-only -nocudainc -nocudalib --cuda-gpu-arch="$2" --cuda-feature=+"$3" -O3 -gline-tables-only \
    -fdebug-compilation-dir=. -S -o "$1.ptx" "$1.cu"
}
build rows sm_80 ptx70
build gemm sm_80 ptx70
build hopper sm_90a ptx80
