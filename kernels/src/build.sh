#!/bin/bash
# build.sh compiles every .cu here to ../ptx: x.cu for sm_80 and everything after it, x.sm_89.cu for that target and
# everything after it, x.sm_90a.cu for that target alone. The PTX has the lowest version that knows the target and the
# instructions used, because the version decides how old a driver may be. It then writes the launchers' table and
# packers of parameters, ../table.go and ../params.go, and lists the hashes of all that it read and wrote in
# ../ptx/MANIFEST. It needs clang-22 (Debian's package) and Go, but nothing of CUDA. Paths are relative and the
# compiler's version is fixed, so that the same sources give the same bytes everywhere.
set -euo pipefail
cd "$(dirname "$0")"
CLANG=${CLANG:-clang-22}

# version_of prints the lowest PTX version that knows a target.
version_of() {
  case $1 in
  sm_80) echo 7.0 ;;
  sm_89) echo 8.4 ;; # products of fp8
  sm_90a) echo 8.0 ;;
  sm_120a) echo 8.7 ;;
  *) echo "build.sh: target $1: no PTX version is known for it" >&2; return 1 ;;
  esac
}

"$CLANG" --version | grep -q 'version 22\.' || { echo "build.sh: $CLANG is not clang 22" >&2; exit 1; }
rm -f ../ptx/*.ptx
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trees=()
for file in *.cu; do
  name=${file%.cu}
  case $name in
  *.*) arch=${name#*.} ;;
  *) arch=sm_80 name=$name.$arch ;;
  esac
  version=$(version_of "$arch")
  out=../ptx/$name.ptx
  flags=(-x cuda --cuda-device-only -nocudainc -nocudalib --cuda-gpu-arch="$arch" --cuda-feature="+ptx${version/./}" -std=c++20 -Wno-cuda-compat)
  "$CLANG" "${flags[@]}" -O3 -Wall -Werror -gline-directives-only -fno-verbose-asm \
    -fdebug-compilation-dir=. -S -o - "$file" |
    # Line numbers stay, for profilers and for the software device. Repeated and empty directives are removed.
    awk '
      $1 == ".loc" { if ($3 != 0) { loc = "\t.loc " $2 " " $3 " 0" } next }
      /^\$L__(tmp|func_begin|func_end)[0-9]+:$/ || /^[ \t]*\/\// || /^[ \t]*$/ || /\.section/ { next }
      /^\.visible/ { last = "" }
      /^\t[^.]/ && loc != "" && loc != last { print loc; last = loc }
      { sub(/^\t\.file\t/, "\t.file "); gsub(/"\.\/(\.\/)*/, "\""); print }
    ' >"$out"
  grep -q "^\.version $version\$" "$out" || { echo "build.sh: $out is not PTX $version" >&2; exit 1; }
  "$CLANG" "${flags[@]}" -DTABLE -fsyntax-only -Xclang -ast-dump=json "$file" >"$scratch/$name.json"
  trees+=("$name=$scratch/$name.json")
done
cd ..
go run ../tools/kernels/table -out . "${trees[@]}"
LC_ALL=C sha256sum src/* ptx/*.ptx table.go params.go >ptx/MANIFEST
