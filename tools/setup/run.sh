#!/bin/sh
# Does all that is between a clone and the first picture, as "make run" does: sh tools/setup/run.sh
#
# It sets up what is missing (make itself, too), builds the program and opens its window. Without a screen it builds the
# command line, makes a picture with the demo model, and says what the window needs.
set -eu
cd "$(dirname "$0")/../.."

if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
  tools/setup/setup.sh window
  "${MAKE:-make}" --no-print-directory build
  exec ./kleinbild
fi

tools/setup/setup.sh go
"${MAKE:-make}" --no-print-directory cli
picture=$(./kleinbild-cli generate -m demo -p "a red house under a yellow sun" -a square -s 1)
echo
echo "The first picture: $PWD/$picture"
echo "More of them: ./kleinbild-cli generate --help"
echo
echo "The window was not built, because there is no screen: neither DISPLAY nor WAYLAND_DISPLAY is set."
packages=$(tools/setup/setup.sh --list window)
if [ -n "$packages" ]; then
  echo "In a desktop, make run builds and opens it. It also needs these packages, which make run installs:"
  echo "  $packages"
else
  echo "In a desktop, make run builds and opens it."
fi
