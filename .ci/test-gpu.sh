#!/usr/bin/env bash
# The tests that need a GPU. VLLM_PYTHON names an interpreter that has vLLM, where this one has none.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
if ! compgen -G "/dev/nvidia[0-9]*" >/dev/null; then
  echo "no GPU here: none of the tests in tests/gpu was run" >&2
  exit 0
fi
export TEST_GPU=1
exec .venv/bin/python -m pytest tests/gpu -rs "$@"
