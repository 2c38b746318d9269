# shellcheck shell=sh
# A part of tools/setup/go and setup.sh that finds a go command. Both set root, the project's folder.

# The folders besides those of $PATH in which Go is usually installed.
folders=${GO_FOLDERS-/usr/local/go/bin /usr/lib/go-1.*/bin /usr/lib/golang/bin ${HOME:-}/sdk/go1.*/bin /snap/bin}

# go_version prints the version of a go command, such as 1.24.4. It prints nothing for gccgo, which cannot build this.
go_version() { # FILE
  (cd / && GOTOOLCHAIN=local "$1" version 2>/dev/null) | sed -n '/gccgo/d; s/^go version go\([0-9.]*\).*/\1/p'
}

at_least() { # VERSION VERSION
  awk -v a="$1" -v b="$2" 'BEGIN {
    n = split(a, x, "."); m = split(b, y, ".")
    for (i = 1; i <= n || i <= m; i++) if (x[i] + 0 != y[i] + 0) exit x[i] + 0 < y[i] + 0
  }'
}

# set_go sets go to the go command that is used, version to its version and state to
#   ready   if it is as new as go.mod wants;
#   fetches if it is from 1.21 on: such a Go fetches the version that go.mod wants by itself;
#   pinned  if it would do so, but the user has set GOTOOLCHAIN to local;
#   old     if it is older, but can fetch a newer one as a module, which setup.sh asks it to do;
#   ancient if it cannot even do that;
#   none    if there is no Go.
# A $GO that is not the script tools/setup/go is the only one that is looked at.
set_go() {
  # shellcheck disable=SC2154 # see above
  wanted=$(sed -n 's/^go \([0-9.]*\).*/\1/p' "$root/go.mod")
  go='' version='' state=none
  case ${GO:-tools/setup/go} in
  *tools/setup/go) consider_all ;;
  *) consider "$(command -v "$GO" || echo "$GO")" ;; # with its folder, which tools/setup/go needs
  esac
  case $state in
  old)
    fetched=$(toolchain_of "$go")
    if [ -x "$fetched/bin/go" ] && [ -x "$fetched/bin/gofmt" ]; then
      go=$fetched/bin/go version=$wanted state=ready
    fi
    ;;
  fetches)
    # A distribution may have set "local" as well: then it is changed, for this project only.
    if [ "$(cd / && "$go" env GOTOOLCHAIN)" = local ]; then
      if [ -n "${GOTOOLCHAIN:-}" ] || grep -qs '^GOTOOLCHAIN=' "$(cd / && "$go" env GOENV)"; then
        state=pinned
      else
        export GOTOOLCHAIN=auto
      fi
    fi
    ;;
  esac
}

consider_all() {
  on_path=$(command -v go) || on_path=
  [ -z "$on_path" ] || consider "$on_path"
  for folder in $folders; do # the folders are patterns
    [ "$state" != ready ] || break
    [ ! -x "$folder/go" ] || consider "$folder/go"
  done
}

# consider takes a go command if it is newer than the one that was found before it.
consider() { # FILE
  found=$(go_version "$1")
  [ -n "$found" ] || return 0
  [ -z "$version" ] || ! at_least "$version" "$found" || return 0
  go=$1 version=$found
  if at_least "$version" "$wanted"; then
    state=ready
  elif at_least "$version" 1.21; then
    state=fetches
  elif at_least "$version" 1.16; then
    state=old
  else
    state=ancient
  fi
}

# The module of Go itself, in which every Go from 1.21 on gets its newer versions.
toolchain=golang.org/toolchain

# toolchain_of prints the folder in which a go command keeps the version that go.mod wants.
toolchain_of() { # GO
  (cd / && echo "$("$1" env GOMODCACHE)/$toolchain@v0.0.1-go$wanted.$("$1" env GOHOSTOS)-$("$1" env GOHOSTARCH)")
}
