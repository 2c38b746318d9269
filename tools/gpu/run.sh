#!/usr/bin/env bash
# run.sh tests and measures Kleinbild, or trains its demo model, on a machine with a GPU, from the folder that `make gpu-kit` builds: no Go, no network.
#
#   ./run.sh test     conformance at ragged and at real shapes, goldens end to end, compute-sanitizer on the small kernels
#   ./run.sh bench    kernels and whole pictures, beside PyTorch and Diffusers where they are installed
#   ./run.sh demo     the demo model's transformer trained on for STEPS (default: 2000), with PyTorch and Diffusers: $RESULTS/demo
#
# Environment: DEVICE=sim rehearses on the software device. CHECKPOINT is a 4B model to measure pictures with; a random one is
# written to $SCRATCH (default: a temporary folder that goes at the end) where there is none. RESULTS is where results go
# (default: results). SANITIZER_SECONDS bounds each tool of compute-sanitizer (default: 90). KLEINBILD_GOLDEN is a folder with
# more golden cases than the kit has.
set -uo pipefail
cd "$(dirname "$0")"
kit=$PWD
DEVICE=${DEVICE:-cuda}
RESULTS=${RESULTS:-$kit/results}
SANITIZER_SECONDS=${SANITIZER_SECONDS:-90}
failed=0 scratch=
trap '[ -z "$scratch" ] || rm -rf "$scratch"' EXIT

# scratch_folder makes $scratch, which goes when this ends.
scratch_folder() {
  scratch=$(mktemp -d "${SCRATCH:-${TMPDIR:-/tmp}}/kleinbild-XXXXXX")
}

# step NAME COMMAND… runs a command, keeps what it says, and counts failures; the other steps go on.
step() {
  local name=$1 start=$SECONDS code=0
  shift
  echo "== $name: $*"
  "$@" >"$RESULTS/$name.txt" 2>&1 || code=$?
  case $code in
  0) echo "   passed in $((SECONDS - start)) s" ;;
  124) echo "   UNFINISHED: stopped after $((SECONDS - start)) s; up to there nothing failed" ;;
  *)
    echo "   FAILED after $((SECONDS - start)) s; the end of $RESULTS/$name.txt:"
    tail -n 40 "$RESULTS/$name.txt" | sed 's/^/   /'
    failed=1
    ;;
  esac
}

# tested FOLDER BINARY ARGUMENTS… runs a test binary where its files lie.
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
  arguments=(-device "$DEVICE" -test.run "Conformance/$DEVICE|Replay|Shapes|UploadInParts") && step backend tested inference/cuda cuda.test
  local goldens=Golden
  [ "$DEVICE" = sim ] && goldens='GoldenPictures/t2i$/sim'
  arguments=(-test.run "$goldens") && step goldens tested inference inference.test
  if [ "$DEVICE" = cuda ]; then
    if command -v compute-sanitizer >/dev/null; then
      # Everything of the kernels' tests is small. Under racecheck and initcheck a kernel takes a hundred times as long.
      for tool in memcheck racecheck initcheck synccheck; do
        arguments=(-device cuda -test.run 'GEMM|SiLU|Heads|SwiGLU|Attention|Conv|Norm|Copy|Patchify')
        step "sanitizer-$tool" tested kernels kernels.test timeout "$SANITIZER_SECONDS" compute-sanitizer --tool "$tool" --error-exitcode 9 --print-limit 20
      done
      arguments=(-device cuda -test.run 'Conformance/cuda/(Linear|Heads|SwiGLU|Attention|Norms)|Replay')
      step sanitizer-backend tested inference/cuda cuda.test timeout "$SANITIZER_SECONDS" compute-sanitizer --tool memcheck --leak-check full --error-exitcode 9
    else
      echo "== compute-sanitizer is not there: skipped"
    fi
  fi
}

run_bench() {
  mkdir -p "$RESULTS"
  local checkpoint=${CHECKPOINT:-}
  if [ -z "$checkpoint" ]; then
    scratch_folder
    checkpoint=$scratch/4b
    [ "$DEVICE" = cuda ] && step checkpoint ./kleinbild bench checkpoint "$checkpoint"
  fi
  [ -e "$checkpoint/model_index.json" ] || checkpoint=
  [ "$DEVICE" = cuda ] && ./kleinbild bench tune >"$RESULTS/tune.txt" 2>&1 && cat "$RESULTS/tune.txt"
  python3 bench.py --kit "$kit" --device "$DEVICE" --out "$RESULTS/results.md" ${checkpoint:+--checkpoint "$checkpoint"} \
    ${SIZE:+--size "$SIZE"} || failed=1
  echo "== the table is in $RESULTS/results.md"
}

run_demo() {
  mkdir -p "$RESULTS"
  local shards=64
  [ "$DEVICE" = sim ] && shards=1
  scratch_folder
  python3 demo/train.py "$scratch" "$RESULTS/demo" --init demo/model --first 1000 --shards $shards --more "${STEPS:-2000}" || failed=1
}

if [ "$DEVICE" = cuda ] && [ -n "${1:-}" ] && ! nvidia-smi >/dev/null 2>&1; then
  echo "run.sh: no NVIDIA GPU here: carry $kit to a machine that has one, and run $0 there" >&2
  exit 1
fi
case ${1:-} in
test) run_tests ;;
bench) run_bench ;;
demo) run_demo ;;
*)
  sed -n '2,13s/^# \{0,1\}//p' "$kit/run.sh"
  exit 2
  ;;
esac
exit $failed
