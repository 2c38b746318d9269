#!/bin/bash
# build.sh compiles every .cu here to ../ptx and lists what it read and wrote, by hash, in ../ptx/MANIFEST: x.cu for sm_80
# and everything after it, x.sm_90a.cu for that target alone, each in the lowest PTX version that has it, because that
# decides how old a driver may be. It needs clang-22 (Debian's package) and nothing of CUDA. Paths are relative and the
# compiler's version is fixed, so that the same sources give the same bytes everywhere.
set -euo pipefail
cd "$(dirname "$0")"
CLANG=${CLANG:-clang-22}

# version_of prints the lowest PTX version of a target.
version_of() {
  case $1 in
  sm_80) echo 7.0 ;;
  sm_89) echo 7.8 ;;
  sm_90a) echo 8.0 ;;
  sm_120a) echo 8.7 ;;
  *) echo "build.sh: target $1: no PTX version is known for it" >&2; return 1 ;;
  esac
}

"$CLANG" --version | grep -q 'version 22\.' || { echo "build.sh: $CLANG is not clang 22" >&2; exit 1; }
rm -f ../ptx/*.ptx
for file in *.cu; do
  name=${file%.cu}
  case $name in
  *.*) arch=${name#*.} ;;
  *) arch=sm_80 name=$name.$arch ;;
  esac
  version=$(version_of "$arch")
  out=../ptx/$name.ptx
  "$CLANG" -x cuda --cuda-device-only -nocudainc -nocudalib --cuda-gpu-arch=$arch --cuda-feature=+ptx${version/./} -std=c++20 -O3 \
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
