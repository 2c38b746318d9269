#!/bin/sh
# Makes libcuda.a for the compiler $CC (default: cc) and prints the folder that it lies in, beside cuda.h.
#
# The folder's path becomes an option of the compiler, and Go compiles all C anew if an option changes. So the folder is
# named after its contents and lies with Go's own cache: all checkouts then have one path, and share what was compiled.
set -eu
cache=$(${GO:-go} env GOCACHE) # before cd, because $GO may be a relative path
cd "$(dirname "$0")"
cc=${CC:-cc}
sum=$(cat build.sh calls.h cuda.h libcuda.c libcuda.h | sha256sum | cut -c 1-16)
folder=$cache/kleinbild-libcuda/$sum-$($cc -dumpmachine)
if [ ! -d "$folder" ]; then
  mkdir -p "$cache/kleinbild-libcuda"
  work=$(mktemp -d "$cache/kleinbild-libcuda/work-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  cp calls.h cuda.h libcuda.h "$work"
  $cc -O2 -fPIC -Wall -Wextra -Wno-cast-function-type -c libcuda.c -o "$work/libcuda.o"
  "$($cc -print-prog-name=ar)" rcsD "$work/libcuda.a" "$work/libcuda.o"
  rm "$work/libcuda.o"
  chmod 755 "$work"
  mv -T "$work" "$folder" 2>/dev/null || [ -d "$folder" ] # which another build has made meanwhile
fi
echo "$folder"
