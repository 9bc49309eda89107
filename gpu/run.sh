#!/usr/bin/env bash
# Everything that is to be tested and measured on a GPU, in one go, on a bare machine without a network: Python with a CUDA
# build of torch, g++, and this folder as `npm run gpu:pack` left it. The most valuable comes first, each part has its own
# time-out, and every figure is printed as a line of JSON when it is there, so that a run that is cut off still tells.
#
#   bash gpu/run.sh            all parts, in this order
#   bash gpu/run.sh 135m 8b    some
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
packed=gpu/packed
export TORCHFORGE_CACHE=${TORCHFORGE_CACHE:-/tmp/torchforge-gpu}
mkdir -p "$TORCHFORGE_CACHE/bin"

if [ ! -x "$TORCHFORGE_CACHE/bin/node" ]; then
  xz -dc "$packed"/node-*.xz > "$TORCHFORGE_CACHE/bin/node" && chmod +x "$TORCHFORGE_CACHE/bin/node"
fi
export PATH="$TORCHFORGE_CACHE/bin:$PATH"
[ -d node_modules/zod ] || tar -xJf "$packed/node_modules.tar.xz"
# Beside the installed packages, not among them.
python3 -m pip install --quiet --no-deps --no-index --target "$TORCHFORGE_CACHE/peers" "$packed"/wheels/*.whl 2> /dev/null
export PYTHONPATH="$TORCHFORGE_CACHE/peers${PYTHONPATH:+:$PYTHONPATH}"

python3 - << 'PYTHON'
import json, subprocess, torch
driver = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"],
                        capture_output=True, text=True).stdout.strip()
print(json.dumps({"card": torch.cuda.get_device_name(0), "driver": driver, "torch": torch.__version__}), flush=True)
PYTHON

# part NAME SECONDS COMMAND...
part() {
  local name=$1 seconds=$2 begin=$SECONDS status
  shift 2
  if [ ${#wanted[@]} -gt 0 ] && [[ " ${wanted[*]} " != *" $name "* ]]; then return; fi
  echo "== $name"
  timeout --kill-after=5 "$seconds" "$@"
  status=$?
  printf '{"part": "%s", "exit": %d, "seconds": %d}\n' "$name" "$status" "$((SECONDS - begin))"
}
# Failures, and how many of each kind there were: the rest of a test run's output says nothing here.
tests() {
  node --test --test-concurrency=4 --test-reporter=tap "$@" | grep -E '^\s*not ok|^# (tests|pass|fail|skipped)|^\s+(error|message):'
}
export -f tests

wanted=("$@")
wanted_all=("$@")
wanted=()
part setup 240 node src/cli/main.ts setup --quiet
wanted=("${wanted_all[@]}")
export TORCHFORGE_TEST_DEVICE=cuda
part tests 240 bash -c 'tests test/cuda/*.ts test/fused/fused.test.ts test/fused/expert-mlp.test.ts test/models/parity.test.ts'
part kernels 90 node bench/cuda-kernels.ts
part 135m 150 node bench/cuda.ts --size smollm2_135m
part 8b 200 node bench/cuda.ts --size llama3_8b
part 1b 150 node bench/cuda.ts --size llama3_1b
