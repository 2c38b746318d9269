#!/bin/sh
# Prints which Debian packages the window's build needs and this machine lacks. With "test", those of its test on a
# virtual screen as well; with "windows", those of the test under Wine instead. If GTK is set, those of the build with
# GTK as well.
set -eu
missing=
header() { # HEADER PACKAGE
  printf '#include <X11/Xlib.h>\n#include <%s>\n' "$1" | cc -E - >/dev/null 2>&1 || missing="$missing $2"
}
program() { # PROGRAM PACKAGE
  command -v "$1" >/dev/null || missing="$missing $2"
}
if [ "${1:-}" = windows ]; then
  program wine "wine wine64"
  program x86_64-w64-mingw32-gcc gcc-mingw-w64-x86-64
else
  program cc "gcc libc6-dev"
  program pkg-config pkg-config
  if command -v cc >/dev/null; then
    header GL/gl.h libgl-dev
    header X11/Xcursor/Xcursor.h libxcursor-dev
    header X11/extensions/Xrandr.h libxrandr-dev
    header X11/extensions/Xinerama.h libxinerama-dev
    header X11/extensions/XInput2.h libxi-dev
    header X11/extensions/xf86vmode.h libxxf86vm-dev
    [ -z "${GTK:-}" ] || pkg-config --exists gtk+-3.0 || missing="$missing libgtk-3-dev"
  else
    missing="$missing libgl-dev libxcursor-dev libxrandr-dev libxinerama-dev libxi-dev libxxf86vm-dev"
  fi
fi
if [ -n "${1:-}" ]; then
  program Xvfb xvfb
  program xauth xauth
  program xdotool xdotool
  program import imagemagick
  program xclip xclip
  [ "$1" = windows ] || program dbus-run-session dbus
  /usr/bin/python3 -c 'import Xlib' 2>/dev/null || missing="$missing python3-xlib"
fi
if [ -n "$missing" ]; then
  echo "this needs more packages; on Debian and Ubuntu:" >&2
  echo "  sudo apt install$missing" >&2
  [ "${1:-}" = windows ] || echo "(make cli builds the command line without them)" >&2
  exit 1
fi
