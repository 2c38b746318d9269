#!/bin/bash
# build.sh compiles every .cu here to ../ptx and lists what it read and wrote, by hash, in ../ptx/MANIFEST. It needs
# clang-22 (Debian's package) and nothing of CUDA. Paths are relative and the compiler's version is fixed, so that the
# same sources give the same bytes everywhere.
set -euo pipefail
cd "$(dirname "$0")"
CLANG=${CLANG:-clang-22}
arch=sm_80 ptx=70 version=7.0

"$CLANG" --version | grep -q 'version 22\.' || { echo "build.sh: $CLANG is not clang 22" >&2; exit 1; }
rm -f ../ptx/*.ptx
for file in *.cu; do
  out=../ptx/${file%.cu}.$arch.ptx
  "$CLANG" -x cuda --cuda-device-only -nocudainc -nocudalib --cuda-gpu-arch=$arch --cuda-feature=+ptx$ptx -std=c++20 -O3 \
    -Wall -Werror -Wno-cuda-compat -gline-directives-only -fno-verbose-asm -fdebug-compilation-dir=. -S -o - "$file" |
    # Line numbers stay, for profilers and for the software device; what repeats or says nothing goes.
    awk '
      $1 == ".loc" { if ($3 != 0) { loc = "\t.loc " $2 " " $3 " 0" } next }
      /^\$L__(tmp|func_begin|func_end)[0-9]+:$/ || /^[ \t]*\/\// || /^[ \t]*$/ || /\.section/ { next }
      /^\.visible/ { last = "" }
      /^\t[^.]/ && loc != "" && loc != last { print loc; last = loc }
      { sub(/^\t\.file\t/, "\t.file "); gsub(/"\.\/(\.\/)*/, "\""); print }
    ' >"$out"
  grep -q "^\.version $version\$" "$out" || { echo "build.sh: $out is not PTX $version" >&2; exit 1; }
done
cd ..
LC_ALL=C sha256sum src/* ptx/*.ptx >ptx/MANIFEST
