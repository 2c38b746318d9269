#!/usr/bin/env bash
# run.sh tests and measures Kleinbild, or trains its demo model, on a machine with a GPU. It runs in the folder that
# `make gpu-kit` builds, and needs neither Go nor a network.
#
#   ./run.sh test     conformance with ragged and real shapes, golden cases end to end, compute-sanitizer
#   ./run.sh bench    kernels and whole pictures, compared with PyTorch and Diffusers if they are installed
#   ./run.sh demo     trains the demo model's transformer STEPS steps more (default: 2000) into $RESULTS/demo; it needs
#                     PyTorch and Diffusers
#
# Environment:
#   DEVICE              sim rehearses on the software device (default: cuda)
#   RESULTS             the folder for results (default: results)
#   CHECKPOINT          a 4B model for whole pictures; without it, a random one is written to $SCRATCH
#   SIZE                the size of whole pictures (default: 1024x1024)
#   SCRATCH             where temporary folders are made, which are removed at the end (default: $TMPDIR or /tmp)
#   SANITIZER_SECONDS   the time limit of each tool of compute-sanitizer (default: 90)
#   KLEINBILD_GOLDENS   folders with more golden cases than the kit has, separated by colons
set -uo pipefail
cd "$(dirname "$0")"
kit=$PWD
DEVICE=${DEVICE:-cuda}
RESULTS=${RESULTS:-$kit/results}
SANITIZER_SECONDS=${SANITIZER_SECONDS:-90}
failed=0 scratch=
trap '[ -z "$scratch" ] || rm -rf "$scratch"' EXIT

# scratch_folder makes the folder $scratch, which is removed when this script ends.
scratch_folder() {
  scratch=$(mktemp -d "${SCRATCH:-${TMPDIR:-/tmp}}/kleinbild-XXXXXX")
}

# step NAME COMMAND… runs a command, writes its output to $RESULTS/NAME.txt and notes a failure. The other steps still
# run.
step() {
  local name=$1 start=$SECONDS code=0
  shift
  echo "== $name: $*"
  "$@" >"$RESULTS/$name.txt" 2>&1 || code=$?
  case $code in
  0) echo "   passed in $((SECONDS - start)) s" ;;
  124) echo "   UNFINISHED: stopped after $((SECONDS - start)) s; nothing had failed until then" ;;
  *)
    echo "   FAILED after $((SECONDS - start)) s; the end of $RESULTS/$name.txt:"
    tail -n 40 "$RESULTS/$name.txt" | sed 's/^/   /'
    failed=1
    ;;
  esac
}

# tested FOLDER BINARY PREFIX… runs a test binary in its folder, with $arguments. PREFIX is a command that runs it.
tested() {
  local folder=$1 binary=$2
  shift 2
  (cd "$kit/$folder" && "$@" "./$binary" -test.timeout 20m -test.v "${arguments[@]}")
}

run_tests() {
  mkdir -p "$RESULTS"
  [ "$DEVICE" = cuda ] && step device nvidia-smi
  arguments=(-test.run GPU) && step driver tested kernels/cu cu.test
  arguments=(-device "$DEVICE") && step kernels tested kernels kernels.test
  arguments=(-device "$DEVICE" -test.run "Conformance/$DEVICE|Replay|Shapes|UploadInParts")
  step backend tested inference/cuda cuda.test
  local goldens=Golden
  [ "$DEVICE" = sim ] && goldens='GoldenPictures/t2i$/sim'
  arguments=(-test.run "$goldens") && step goldens tested inference inference.test
  if [ "$DEVICE" = cuda ]; then
    if command -v compute-sanitizer >/dev/null; then
      # The shapes of these tests are small. Under racecheck and initcheck a kernel takes a hundred times as long.
      for tool in memcheck racecheck initcheck synccheck; do
        arguments=(-device cuda -test.run 'GEMM|SiLU|SwiGLU|Attention|Conv|Norm|Copy|Patchify')
        step "sanitizer-$tool" tested kernels kernels.test timeout "$SANITIZER_SECONDS" \
          compute-sanitizer --tool "$tool" --error-exitcode 9 --print-limit 20
      done
      arguments=(-device cuda -test.run 'Conformance/cuda/(Linear|QKNormRoPE|SwiGLU|Attention|Norms)|Replay')
      step sanitizer-backend tested inference/cuda cuda.test timeout "$SANITIZER_SECONDS" \
        compute-sanitizer --tool memcheck --leak-check full --error-exitcode 9
    else
      echo "== compute-sanitizer is not installed: skipped"
    fi
  fi
}

run_bench() {
  mkdir -p "$RESULTS"
  local checkpoint=${CHECKPOINT:-}
  if [ -z "$checkpoint" ]; then
    scratch_folder
    checkpoint=$scratch/4b
    [ "$DEVICE" = cuda ] && step checkpoint ./kleinbild-cli bench checkpoint "$checkpoint"
  fi
  [ -e "$checkpoint/model_index.json" ] || checkpoint=
  [ "$DEVICE" = cuda ] && ./kleinbild-cli bench tune >"$RESULTS/tune.txt" 2>&1 && cat "$RESULTS/tune.txt"
  python3 bench.py --kit "$kit" --device "$DEVICE" --out "$RESULTS/results.md" \
    ${checkpoint:+--checkpoint "$checkpoint"} ${SIZE:+--size "$SIZE"} || failed=1
  echo "== the table is in $RESULTS/results.md"
}

run_demo() {
  mkdir -p "$RESULTS"
  local shards=64
  [ "$DEVICE" = sim ] && shards=1
  scratch_folder
  python3 demo/train.py "$scratch" "$RESULTS/demo" --init demo/model --first 1000 --shards $shards \
    --more "${STEPS:-2000}" || failed=1
}

if [ "$DEVICE" = cuda ] && [ -n "${1:-}" ] && ! nvidia-smi >/dev/null 2>&1; then
  echo "run.sh: no NVIDIA GPU here: copy $kit to a machine that has one, and run $0 there" >&2
  exit 1
fi
case ${1:-} in
test) run_tests ;;
bench) run_bench ;;
demo) run_demo ;;
*)
  sed -n '2,17s/^# \{0,1\}//p' "$kit/run.sh"
  exit 2
  ;;
esac
exit $failed
