#!/usr/bin/env bash
# Builds this checkout with CUDA, runs the GPU tests and times every GPU kernel, in ten minutes at
# most, without a network. Needs python 3.10+ with torch (CUDA), triton, pytest, hypothesis,
# scikit-learn, cmake, ninja, pybind11, scikit-build-core, and nvcc.
#
#   benchmarks/gpu.sh [--dry-run] [RESULT.json]      default: benchmarks/results/gpu.json
#
# --dry-run prints the steps, runs none of them, and times tiny problems on the CPU instead.
# Leaves one JSON file; the steps' output goes to RESULT.log.
set -uo pipefail
cd "$(dirname "$0")/.."

is_dry=0
if [[ "${1:-}" == --dry-run ]]; then
  is_dry=1
  shift
fi
result=${1:-benchmarks/results/gpu.json}
log=${result%.json}.log
python=${PYTHON:-python3}
steps=$(mktemp)
trap 'rm -f "$steps"' EXIT
mkdir -p "$(dirname "$result")"
: > "$log"
export PYTHONUNBUFFERED=1

# step NAME SECONDS COMMAND...: runs it under a limit; a failure is recorded, not fatal.
step() {
  local name=$1 limit=$2 status=0 started=$SECONDS
  shift 2
  echo "== $name: $*" | tee -a "$log"
  if ((is_dry)); then
    printf '%s\tdry run\t0\n' "$name" >> "$steps"
    return 0
  fi
  timeout "$limit" "$@" >> "$log" 2>&1 || status=$?
  printf '%s\tstatus %d\t%d s\t%s\n' \
    "$name" "$status" $((SECONDS - started)) "$(tail -n 1 "$log" | tr '\t' ' ')" | tee -a "$steps"
  return "$status"
}

step machine 20 nvidia-smi
step versions 30 "$python" -c 'import torch, triton; print(torch.__version__, triton.__version__)'
step build 150 env SPARSEDEF_CUDA=1 SPARSEDEF_REQUIRE_EXT=1 \
  "$python" -m pip install --no-index --no-deps --no-build-isolation -e .
step compile 40 "$python" -m sparsedef.backends.triton.compile_offline --architecture 90
step tests 110 "$python" -m pytest tests -q -m gpu -p no:cacheprovider
# the CUDA kernels on odd shapes, each access watched; a GPU of a container may not allow it
for tool in memcheck racecheck; do
  step "$tool" 45 compute-sanitizer --tool "$tool" --error-exitcode 9 \
    "$python" -m benchmarks.gpu_probe
done

if ((is_dry)); then
  "$python" -m benchmarks.gpu_timings --device cpu --size tiny --seconds 0.1 \
    --steps "$steps" --out "$result" || exit 1
else
  timeout 150 "$python" -m benchmarks.gpu_timings --steps "$steps" --out "$result" 2>&1 |
    tee -a "$log"
fi
echo "result: $result"
[[ -s $result ]]
