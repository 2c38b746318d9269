#!/usr/bin/env bash
# Follows the README in empty systems: tools/setup/roots.sh [RELEASE...]
#
# For each release of Debian (bookworm and trixie) it makes a root with debootstrap, and starts from a fresh clone, like
#   - a user with sudo, on a terminal, who has neither make nor Go nor a compiler: first without a screen, where a
#     picture comes; then with one (Xvfb), where the window opens; then the same without a network;
#   - a user without sudo who has only make: the line for su is copied, and the window opens;
#   - root, whom nobody asks; and a script, which is refused.
#
# It needs root, debootstrap, python3, Xvfb, xdotool, ImageMagick and the network. The mirror is that of this machine's
# apt. If KEEP names a folder, what was fetched, made and compiled stays there for the next time. All mounts and processes
# are in namespaces of their own, so that nothing of them stays, however this ends.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)

if [ "${1:-}" != --inside ]; then
  [ "$(id -u)" = 0 ] || { echo "roots.sh: this needs root, for debootstrap and chroot" >&2; exit 1; }
  for program in debootstrap python3 Xvfb xdotool import git; do
    command -v "$program" >/dev/null || { echo "roots.sh: there is no $program here" >&2; exit 1; }
  done
  work=$(mktemp -d)
  trap 'rm -rf --one-file-system "$work"' EXIT
  # unshare ignores other signals while it waits. Its child, the first process of the namespace, dies with it, and it
  # dies with this script, also if that is killed and runs no trap.
  trap 'kill -KILL "$!"; wait; exit 143' TERM INT HUP
  setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc -- \
    "$0" --inside "$work" "${@:-bookworm trixie}" &
  wait "$!"
  exit
fi
work=$2
keep=${KEEP:-$work}
shift 2
read -ra releases <<<"$*"

fail() {
  echo "roots.sh: $release: $*" >&2
  exit 1
}

# mirror prints the archive from which this machine's apt takes Debian.
mirror() {
  # shellcheck disable=SC2016 # apt replaces these names
  apt-get indextargets --format '$(CREATED_BY)|$(LABEL)|$(REPO_URI)' | sed -n 's/^Packages|Debian|//p' | head -n 1
}

# make_root makes the system from which all cases start: a minimal one with sudo and two users.
make_root() { # ROOT
  local scripts=/usr/share/debootstrap/scripts archive script
  archive=$(mirror)
  [ -n "$archive" ] || fail "apt knows no archive of Debian: run apt-get update"
  # A release that is younger than debootstrap is made like its unstable sister, as debootstrap's own scripts do it.
  script=$scripts/$release
  [ -e "$script" ] || script=$scripts/sid
  debootstrap --variant=minbase --include=sudo --cache-dir="$keep/archives-$release" \
    "$release" "$1" "$archive" "$script" >"$work/debootstrap-$release.log" 2>&1 ||
    { tail -n 20 "$work/debootstrap-$release.log" >&2; fail "debootstrap failed"; }
  cp /etc/resolv.conf "$1/etc/resolv.conf"
  echo "127.0.0.1 localhost $(hostname)" >"$1/etc/hosts"
  grep -v localhost /etc/hosts >>"$1/etc/hosts" || :
  # What the network between here and the archives needs: a proxy, and certificates of this machine's own.
  apt-config dump | grep -E '^Acquire::(http|https)::[Pp]roxy' >"$1/etc/apt/apt.conf.d/90proxy" || :
  mkdir -p "$1/usr/local/share/ca-certificates"
  cp /usr/local/share/ca-certificates/*.crt "$1/usr/local/share/ca-certificates/" 2>/dev/null || :
  echo force-unsafe-io >"$1/etc/dpkg/dpkg.cfg.d/fast"
  chroot "$1" useradd --create-home --shell /bin/bash artist
  chroot "$1" chpasswd <<<$'artist:brush\nroot:canvas'
  echo "artist ALL=(ALL) ALL" >"$1/etc/sudoers.d/artist"
}

# enter makes ROOT from the roots below it, the nearest first, and clones this repository into it. The caches of apt and
# Go are shared by all roots: what one has fetched and compiled, the others need not.
enter() { # ROOT LOWER
  root=$1
  mkdir -p "$root" "$root.upper" "$root.work"
  mount -t overlay -o "lowerdir=$2,upperdir=$root.upper,workdir=$root.work" overlay "$root" 2>/dev/null ||
    cp -a --reflink=auto "${2%%:*}/." "$root"
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mkdir -p "$root/tmp/.X11-unix" "$root/home/artist/go/pkg/mod" "$root/home/artist/.cache/go-build" \
    "$root/root/go/pkg/mod" "$root/root/.cache/go-build"
  mount --bind /tmp/.X11-unix "$root/tmp/.X11-unix"
  mount --bind "$keep/archives-$release" "$root/var/cache/apt/archives"
  for home in home/artist root; do
    mount --bind "$keep/mod" "$root/$home/go/pkg/mod"
    mount --bind "$keep/cache" "$root/$home/.cache/go-build"
  done
  [ -d "$root/$clone" ] || git clone -q "$here" "$root/$clone"
  chroot "$root" chown -R artist: "/home/artist/new things" /home/artist/.cache
  chroot "$root" chown artist: /home/artist/go /home/artist/go/pkg
}

# as runs a command in the clone, with the environment of a fresh login of a user. It goes through $online, which can
# take the network away.
as() { # USER COMMAND...
  local user=$1 home=/home/$1 path=/usr/local/bin:/usr/bin:/bin:/usr/games
  shift
  [ "$user" != root ] || { home=/root path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; }
  # shellcheck disable=SC2016 # the inner shell replaces these
  "${online[@]}" chroot --userspec="$user:$user" --groups= "$root" env -i HOME="$home" USER="$user" LOGNAME="$user" \
    PATH="$path" TERM=xterm LANG=C.UTF-8 ${display:+DISPLAY="$display"} ${YES:+YES="$YES"} \
    sh -c 'cd "/$0" && exec "$@"' "$clone" "$@"
}

# on_terminal runs what as runs, on a terminal, and types the answers.
on_terminal() { # QUESTION=ANSWER... -- USER COMMAND...
  local answers=()
  while [ "$1" != -- ]; do
    answers+=("$1")
    shift
  done
  shift
  export root clone display YES
  export -f as
  local through="${online[*]}"
  "$here/tools/setup/answer.py" "${answers[@]}" -- bash -c "online=($through)"'; as "$@"' bash "$@"
}

# window waits until a command that runs in the background has opened a window and drawn it, and then ends the program.
window() { # PROCESS LOG
  local id='' colours=0 process
  for ((i = 0; i < 2400; i++)); do
    kill -0 "$1" 2>/dev/null || { cat "$2" >&2; fail "$what: the command ended before a window was there"; }
    id=$(DISPLAY=$screen xdotool search --onlyvisible --name '^Kleinbild$' 2>/dev/null | head -n 1) || :
    if [ -n "$id" ]; then
      colours=$(DISPLAY=$screen import -window "$id" -format %k info: 2>/dev/null) || colours=0
      [ "$colours" -lt 50 ] || break # an empty window has one
    fi
    sleep 0.5
  done
  [ -n "$id" ] || { cat "$2" >&2; fail "$what: no window in twenty minutes"; }
  [ "$colours" -ge 50 ] || fail "$what: the window has $colours colours"
  for process in /proc/[0-9]*; do
    [ "$(cat "$process/comm" 2>/dev/null)" != kleinbild ] || [ "$(readlink "$process/root")" != "$root" ] ||
      kill "${process#/proc/}"
  done
  wait "$1" || : # make says that its program was ended
}

# said checks that a log has a sentence.
said() { # LOG SENTENCE
  grep -qF -- "$2" "$1" || { cat "$1" >&2; fail "$what: \"$2\" was not said"; }
}

never_said() { # LOG SENTENCE
  ! grep -qF -- "$2" "$1" || { cat "$1" >&2; fail "$what: \"$2\" was said"; }
}

# picture checks the picture that was made without a screen.
picture() { # LOG
  local path
  path=$(sed -n 's/^The first picture: //p' "$1")
  [ -n "$path" ] || { cat "$1" >&2; fail "$what: no picture was named"; }
  [ "$(identify -format '%wx%h' "$root$path")" = 192x192 ] || fail "$what: $path is not the demo picture"
  rm "$root$path"
}

begin() {
  what=$*
  log=$work/log-$release-$((++cases))
  started=$SECONDS
}

passed() { echo "ok: $release: $what ($((SECONDS - started)) s)"; }

follow() {
  clone='home/artist/new things/kleinbild'
  cases=0 display='' online=(env) base=$keep/$release
  if [ ! -d "$base" ]; then
    begin "the root"
    rm -rf --one-file-system "$base.new" # of a run that was ended
    make_root "$base.new"
    mv "$base.new" "$base"
    passed
  fi
  exec 3<>"$work/display-$release"
  Xvfb -displayfd 3 -screen 0 1440x900x24 -ac -nolisten tcp -nolock 2>"$work/xvfb-$release" &
  for ((i = 0; i < 100; i++)); do
    read -r number <"$work/display-$release" && break
    sleep 0.1
  done
  screen=:$number

  begin "a user with sudo and nothing else, without a screen"
  enter "$work/$release-sudo" "$base"
  on_terminal "[Y/n]=y" "password for artist=brush" -- artist sh tools/setup/run.sh >"$log" 2>&1 ||
    { cat "$log" >&2; fail "$what: failed"; }
  said "$log" "Missing here: make, Go, certificates for https."
  said "$log" "The window was not built"
  said "$log" "libxxf86vm-dev"
  said "$log" "note: demo model: simple drawings only; get the real one with: ./kleinbild-cli models get"
  [ "$(grep -c 'note:' "$log")" = 1 ] || { cat "$log" >&2; fail "$what: more than one note"; }
  picture "$log"
  passed

  begin "the same user, with a screen"
  display=$screen
  on_terminal "[Y/n]=" "password for artist=brush" -- artist make run >"$log" 2>&1 &
  window $! "$log"
  said "$log" "Missing here: a C compiler, pkg-config, OpenGL's headers, X11's headers."
  never_said "$log" "user locale" # what Fyne says about C.UTF-8
  [ -x "$root/$clone/kleinbild-cli" ] || fail "$what: make run removed the command line"
  passed

  begin "the same user, without a network"
  online=(unshare --net)
  as artist make run >"$log" 2>&1 &
  window $! "$log"
  never_said "$log" "Missing"
  never_said "$log" "Fetching"
  # All that make test compiles is there: the packages of the tests on every system that ships, and the linters.
  # shellcheck disable=SC2016 # the inner shell replaces these
  as artist sh -ec '
    for system in linux windows; do
      CGO_ENABLED=0 GOOS=$system tools/setup/go list -deps -test ./... >/dev/null
    done
    tools/setup/go list -modfile=tools/lint.mod -deps tool >/dev/null
    "$(tools/setup/go env GOROOT)/bin/gofmt" -l main.go' >"$log" 2>&1 || { cat "$log" >&2; fail "$what: no tests"; }
  as artist make cli >"$log" 2>&1 || { cat "$log" >&2; fail "$what: make cli failed"; }
  [ "$(as artist ./kleinbild-cli version)" = "$(as artist ./kleinbild version)" ] || fail "$what: two versions"
  online=(env)
  passed

  begin "a script"
  enter "$work/$release-plain" "$base"
  YES='' as artist sh tools/setup/run.sh >"$log" 2>&1 </dev/null && fail "$what: it was not refused"
  said "$log" "With YES=1 before the command, it is done without a question."
  passed

  begin "a user without sudo, who has make"
  chroot "$root" sh -c 'apt-get update && apt-get install -y --no-install-recommends make && rm /usr/bin/sudo' \
    >"$log" 2>&1 || { cat "$log" >&2; fail "$what: make"; }
  on_terminal -- artist make run >"$log" 2>&1 && fail "$what: it worked without packages"
  never_said "$log" "[Y/n]"
  said "$log" "Missing here: Go, certificates for https, a C compiler"
  line=$(sed -n 's/^  \(su -l -c .*\)$/\1/p' "$log")
  [ -n "$line" ] || { cat "$log" >&2; fail "$what: no line for su"; }
  on_terminal "Password:=canvas" -- artist sh -c "$line" >"$log" 2>&1 || { cat "$log" >&2; fail "$what: $line"; }
  as artist make run >"$log" 2>&1 </dev/null &
  window $! "$log"
  passed

  begin "root, who has only a compiler, without a screen"
  display=''
  enter "$work/$release-root" "$base"
  chroot "$root" sh -c 'apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev' >"$log" 2>&1 ||
    { cat "$log" >&2; fail "$what: gcc"; }
  as root sh tools/setup/run.sh >"$log" 2>&1 </dev/null || { cat "$log" >&2; fail "$what: failed"; }
  said "$log" "Missing here: make, Go, certificates for https."
  picture "$log"
  passed

  begin "no network, and nothing fetched"
  umount "$root/root/go/pkg/mod"
  online=(unshare --net)
  as root make cli >"$log" 2>&1 </dev/null && fail "$what: it worked"
  said "$log" "could not be fetched: is there a network?"
  passed
}

mkdir -p "$keep/mod" "$keep/cache" "$work/x11" /tmp/.X11-unix
chmod 755 "$work"
chown 1000:1000 "$keep/mod" "$keep/cache" # the first user of the roots
chmod 1777 "$work/x11"
mount --bind "$work/x11" /tmp/.X11-unix # so that no socket is left there
jobs=()
for release in "${releases[@]}"; do
  mkdir -p "$keep/archives-$release/partial"
  mkfifo "$work/display-$release"
  follow &
  jobs+=($!)
done
for job in "${jobs[@]}"; do
  wait "$job"
done
