#!/bin/sh
# Prints the C flags that the window is built with: those of the go command, and two that make the build faster.
#
# To find out what a name of C is, cgo compiles a wrong line about each and reads gcc's errors. gcc searches all names for
# one that is spelled like the undefined __cgo_undefined__2, for each of OpenGL's 5,700 functions anew: most of the time of
# a first build. A name of one letter has no such neighbour. The first flag shortens what gcc keeps of each macro. The
# program is the same to the byte. If cgo uses another name, or the compiler is not gcc, the usual flags are left.
set -eu
usual="-g -O2"
fast="-ftrack-macro-expansion=0 -D__cgo_undefined__2=q"
cgo=$(${GO:-go} env GOROOT)/src/cmd/cgo/gcc.go
if grep -q '__cgo_undefined__2' "$cgo" 2>/dev/null && ${CC:-cc} $fast -E -x c /dev/null >/dev/null 2>&1; then
  echo "$usual $fast"
else
  echo "$usual"
fi
