#!/bin/sh
# Installs what a goal needs and this machine lacks: tools/setup/setup.sh [--list] GOAL...
#
#   go       the command line and the tests
#   window   also the window
#   gtk      the build with GTK's file dialogs
#   screen   the tests on a virtual screen
#   windows  the test of the Windows package under Wine
#
# It names what is missing and asks once. It does not ask if YES=1 is set or if root runs it. Without a terminal nobody
# is asked: then it says what to run, and fails. At last it fetches the Go modules, for all tests too, so that nothing
# needs the network later. With --list it only prints the names of the packages that are missing.
#
# It needs no make: tools/setup/run.sh starts with it. tools/setup/packages.txt has the names of the packages.
set -eu
root=$(dirname "$0")/../..
# shellcheck source=tools/setup/find_go.sh
. "$root/tools/setup/find_go.sh"

say() { printf '%s\n' "$*" >&2; }

program() { command -v "$1" >/dev/null 2>&1; }

# have says whether there is what a row of packages.txt is for.
have() { # NAME
  case $1 in
  go) case $state in none | ancient) return 1 ;; esac ;;
  certificates)
    # The places in which Go looks for them on the systems whose package managers are known here.
    [ -n "${SSL_CERT_FILE:-}${SSL_CERT_DIR:-}" ] || [ -s /etc/ssl/certs/ca-certificates.crt ] ||
      [ -s /etc/pki/tls/certs/ca-bundle.crt ] || [ -s /etc/ssl/ca-bundle.pem ] || [ -s /etc/ssl/cert.pem ]
    ;;
  cc) header stdlib.h ;;
  gl) header GL/gl.h ;;
  xcursor) header X11/Xcursor/Xcursor.h ;;
  xrandr) header X11/extensions/Xrandr.h ;;
  xinerama) header X11/extensions/Xinerama.h ;;
  xi) header X11/extensions/XInput2.h ;;
  xxf86vm) header X11/extensions/xf86vmode.h ;;
  gtk) program pkg-config && pkg-config --exists gtk+-3.0 ;;
  mingw) program x86_64-w64-mingw32-gcc ;;
  xvfb) program Xvfb ;;
  imagemagick) program import ;;
  dbus) program dbus-run-session ;;
  xlib) /usr/bin/python3 -c 'import Xlib' 2>/dev/null ;;
  *) program "$1" ;;
  esac
}

header() { # HEADER
  # $CC may have arguments, or the compiler may be one, as in "ccache gcc".
  # shellcheck disable=SC2086 # it is split like this by Go, too
  case $1 in
  X11/*) printf '#include <X11/Xlib.h>\n#include <%s>\n' "$1" ;;
  *) printf '#include <%s>\n' "$1" ;;
  esac | ${CC:-cc} -E - >/dev/null 2>&1
}

screen='xvfb xauth xdotool imagemagick xclip'
rows_of() { # GOAL
  case $1 in
  go) echo "make go certificates" ;;
  window) echo "make go certificates cc pkg-config gl xcursor xrandr xinerama xi xxf86vm" ;;
  gtk) echo gtk ;;
  screen) echo "$screen dbus xlib" ;;
  windows) echo "make go certificates mingw wine $screen xlib" ;;
  *) say "setup: goal $1, want go, window, gtk, screen or windows"; return 1 ;;
  esac
}

# column prints a column of a row of packages.txt: 2 has the words for messages, 3 to 6 the packages.
column() { # NAME COLUMN
  awk -F ' *[|] *' -v name="$1" -v column="$2" '$1 == name { print $column }' "$root/tools/setup/packages.txt"
}

# set_manager sets manager to the package manager of this system. Some systems have a second one, so that their own is
# looked for first. column is where packages.txt has its packages.
set_manager() {
  # shellcheck source=/dev/null
  system=$(. "${OS_RELEASE:-/etc/os-release}" 2>/dev/null && echo "${ID:-} ${ID_LIKE:-}") || system=
  case $system in
  *suse*) own=zypper ;;
  *fedora* | *rhel* | *centos*) own=dnf ;;
  *arch*) own=pacman ;;
  *) own=apt-get ;;
  esac
  manager='' column=3
  for candidate in "$own" apt-get dnf zypper pacman; do
    if program "$candidate"; then
      manager=$candidate
      break
    fi
  done
  case $manager in
  dnf) column=4 ;;
  pacman) column=5 ;;
  zypper) column=6 ;;
  esac
}

# packages_of prints the packages of a row.
packages_of() { # NAME
  if [ "$1" = go ] && [ "$manager" = apt-get ]; then
    apt_go
  else
    column "$1" "$column"
  fi
}

# apt_go prints the package of the newest Go that apt knows. Some releases, and Debian's backports, have newer ones
# beside an old golang-go. If apt has an old one only, that one can fetch a newer Go: see fetch_go.
apt_go() {
  usual=$(apt-cache policy golang-go 2>/dev/null | sed -n 's/^ *Candidate: *\([0-9]*:\)\{0,1\}\([0-9.]*\).*/\2/p')
  if [ -n "$usual" ] && ! at_least "$usual" 1.21; then
    minor=$(apt-cache search --names-only '^golang-1\.[0-9]+-go$' 2>/dev/null |
      sed -n 's/^golang-1\.\([0-9]*\)-go .*/\1/p' | sort -n | tail -n 1)
    if [ -n "$minor" ] && [ "$minor" -ge 21 ]; then
      echo "golang-1.$minor-go"
      return
    fi
  fi
  echo golang-go
}

# set_missing sets missing to the rows that the goals need and this machine lacks.
set_missing() { # GOAL...
  set_go
  missing=
  for goal; do
    rows=$(rows_of "$goal")
    for name in $rows; do
      case " $missing " in *" $name "*) continue ;; esac
      have "$name" || missing="$missing $name"
    done
  done
  missing=${missing# }
}

# set_command sets packages to those of the missing rows and command to the line of the shell that installs them, as
# root.
set_command() {
  packages=
  for name in $missing; do
    packages="$packages $(packages_of "$name")"
  done
  packages=${packages# }
  case $manager in
  apt-get)
    command="apt-get update; DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages"
    ;;
  dnf) command="dnf install -y --setopt=install_weak_deps=False $packages" ;;
  pacman) command="pacman -S --needed --noconfirm $packages" ;;
  zypper) command="zypper --non-interactive install --no-recommends $packages" ;;
  esac
}

# words prints what the missing rows are called, each once, with commas between them.
words() {
  for name in $missing; do
    if [ "$name" = go ] && [ "$state" = ancient ]; then
      echo "a newer Go (this one is $version)"
    else
      column "$name" 2
    fi
  done | awk '!seen[$0]++ { printf "%s%s", separator, $0; separator = ", " } END { print "" }'
}

say_commands() {
  say "Run this yourself, then start again:"
  if [ "$(id -u)" = 0 ]; then
    say "  $command"
  elif program sudo; then
    say "  sudo sh -c '$command'"
    say "or, if you are not in the list of those who may use sudo:"
    say "  su -l -c '$command'"
  else
    say "  su -l -c '$command'"
  fi
}

# agreed asks whether to install. No answer, as at the end of the input, is not a yes.
agreed() {
  printf 'Install now? [Y/n] ' >&2
  IFS= read -r answer || { say; return 1; }
  case $answer in '' | [Yy] | [Yy][Ee][Ss]) ;; *) return 1 ;; esac
}

install() {
  say "Missing here: $(words)."
  if [ -z "$manager" ]; then
    say "There is no apt-get, dnf, pacman or zypper here: install these with this system's own means. Debian's" \
      "packages are called $packages."
    return 1
  fi
  if [ "$(id -u)" = 0 ]; then
    set -- sh -c "$command"
  elif ! program sudo; then
    say_commands
    return 1
  else
    if [ "${YES:-}" != 1 ]; then
      if ! [ -t 0 ] || ! [ -t 2 ]; then
        say_commands
        say "With YES=1 before the command, it is done without a question."
        return 1
      fi
      say "They come with: sudo $manager ($packages)"
      agreed || { say_commands; return 1; }
    fi
    set -- sudo sh -c "$command"
  fi
  "$@" || { say "The installation failed."; say_commands; return 1; }
}

# fetch_go lets an old Go fetch a new one, as every Go from 1.21 on does by itself: as a module, whose sum it checks. A
# module's files are not executable. The go command is made so last, because that says that all is there.
fetch_go() {
  case $state in
  pinned)
    "$root/tools/setup/go" || return 1 # prints what is wrong
    ;;
  fetches)
    [ -d "$(toolchain_of "$go")" ] || say "Go $version fetches Go $wanted by itself, once: about 75 MB."
    (cd "$root" && "$go" version >/dev/null)
    ;;
  old)
    say "Go $version is older than 1.21, the first that fetches its successors by itself. It is told to fetch Go" \
      "$wanted, once: about 75 MB."
    platform=$("$go" env GOHOSTOS)-$("$go" env GOHOSTARCH)
    folder=$(toolchain_of "$go")
    (cd / && GOFLAGS='' "$go" mod download "$toolchain@v0.0.1-go$wanted.$platform") &&
      chmod -R u+w "$folder/bin" "$folder/pkg/tool" &&
      chmod +x "$folder"/pkg/tool/*/* &&
      chmod +x "$folder/bin/gofmt" "$folder/bin/go"
    ;;
  esac || { say "Go $wanted could not be fetched: is there a network?"; return 1; }
}

# fetch_modules fetches the modules of the program and its tests, and those of the linters.
fetch_modules() {
  cd "$root"
  for file in go.mod tools/lint.mod; do
    GOPROXY=off tools/setup/go mod download -modfile="$file" 2>/dev/null && continue
    case $file in
    go.mod) say "Fetching the Go modules, once: about $program_size MB." ;;
    *) say "Fetching the Go modules of the linters, once: about $linters_size MB." ;;
    esac
    tools/setup/go mod download -modfile="$file" || {
      say "The Go modules could not be fetched: is there a network?"
      return 1
    }
  done
}
program_size=160 linters_size=60 # what is downloaded

list=
[ "${1:-}" != --list ] || { list=1; shift; }
for goal; do rows_of "$goal" >/dev/null; done # before anything is looked for
set_manager
set_missing "$@"
set_command
if [ -n "$list" ]; then
  echo "$packages"
  exit
fi
if [ -n "$missing" ]; then
  install
  hash -r
  set_missing "$@"
  if [ -n "$missing" ]; then
    say "Still missing after the installation: $(words)."
    [ "$state" != ancient ] || say "Unpack a Go of version 1.21 or newer from Go's own site to /usr/local, where it" \
      "is found, then start again."
    exit 1
  fi
fi
fetch_go
fetch_modules
