#!/bin/sh
# Builds the program and shows how far it is: tools/setup/build.sh PROGRAM FLAG...
#
# $GO is the go command, and FLAGs are flags that its commands build and list both know. A first build compiles hundreds
# of packages: then it says beforehand how long this takes. go build has no display of its own, but names each package
# with -v. On a terminal the count of these names is written once a second, elsewhere a line four times a minute.
set -eu
output=$1
shift
go=${GO:-go}
work=$(mktemp -d)
ticker=
# shellcheck disable=SC2317 # the trap calls it
end() {
  [ -z "$ticker" ] || kill "$ticker" 2>/dev/null || :
  rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# The packages that are to be compiled. The program itself counts as stale even if all of it was compiled before.
"$go" list -deps "$@" -f '{{if .Stale}}{{.ImportPath}} {{.StaleReason}}{{end}}' . >"$work/list"
sed '/available in build cache$/d; s/ .*//' "$work/list" >"$work/stale"
sed 's/ .*//' "$work/list" >"$work/names"
stale=$(grep -c . "$work/stale") || :

# A package takes 0.2 seconds of a core on average. OpenGL's C code takes 75 seconds. These were measured on one machine
# with two cores, an Intel Xeon.
seconds=$((stale / 5))
! grep -q '^github.com/go-gl/gl/' "$work/stale" || seconds=$((seconds + 75))
cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null) || cores=1
minutes=$((seconds / 60 / cores + 1))
if [ "$stale" -gt 100 ]; then
  unit=minutes
  [ "$minutes" -gt 1 ] || unit=minute
  echo "First build: about $minutes $unit on this machine. Later ones take seconds." >&2
fi

# show prints the count until it is killed: every second, or with EVERY seconds between.
show() { # EVERY FORMAT
  start=$(date +%s) passed=0
  while sleep 1; do
    passed=$((passed + 1))
    [ $((passed % $1)) -eq 0 ] || continue
    now=$(($(date +%s) - start))
    done=$(grep -cxFf "$work/stale" "$work/log") || :
    # shellcheck disable=SC2059 # the format is given here
    printf "$2" "$output" "$done" "$stale" $((now / 60)) $((now % 60)) >&2
  done
}

: >"$work/log"
if [ "$stale" -gt 0 ]; then
  if [ -t 2 ]; then
    show 1 '\r%s: package %d of %d, %d:%02d ' &
  else
    show 15 '%s: package %d of %d, %d:%02d\n' &
  fi
  ticker=$!
fi
failed=0
"$go" build -v "$@" -o "$output" . >"$work/log" 2>&1 || failed=$?
if [ -n "$ticker" ]; then
  kill "$ticker" 2>/dev/null || :
  wait "$ticker" 2>/dev/null || :
  ticker=
  [ ! -t 2 ] || printf '\r\033[K' >&2
fi
grep -vxFf "$work/names" "$work/log" >&2 || : # warnings and errors
exit "$failed"
