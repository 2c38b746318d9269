#!/bin/sh
# Runs the command line of a Windows build, and the tests of what is written for Windows, under Wine where that is
# installed: wine.sh kleinbild.exe
#
# Wine 8 lacks bcryptprimitives.dll, which Go's runtime asks for random numbers: a stand-in of three lines is built into
# a Wine folder of its own.
set -eu
command -v wine >/dev/null || { echo "no Wine here: $1 was built, not run"; exit 0; }
prefix=$(mktemp -d)
trap 'wineserver -k 2>/dev/null || true; rm -rf "$prefix"' EXIT
export WINEPREFIX="$prefix" WINEDEBUG=-all WINEDLLOVERRIDES="mscoree=;mshtml="
screen=
command -v xvfb-run >/dev/null && screen="xvfb-run -a"
$screen wine wineboot -i >/dev/null 2>&1 || true
if [ ! -e "$prefix/drive_c/windows/system32/bcryptprimitives.dll" ]; then
  cat >"$prefix/shim.c" <<'C'
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE to, SIZE_T n) { return SystemFunction036(to, (ULONG)n); }
C
  x86_64-w64-mingw32-gcc -shared -o "$prefix/drive_c/windows/system32/bcryptprimitives.dll" "$prefix/shim.c" -ladvapi32
fi
said=$($screen wine "$1" version | tr -d '\r')
case $said in
  *leinbild*) echo "under Wine: $said" ;;
  *) echo "under Wine, $1 version says: $said" >&2; exit 1 ;;
esac
for room in dialog shell; do
  GOOS=windows CGO_ENABLED=0 "${GO:-go}" test -c -o "$prefix/$room.exe" "./app/$room"
  $screen wine "$prefix/$room.exe" || { echo "under Wine, the tests of app/$room fail" >&2; exit 1; }
done
