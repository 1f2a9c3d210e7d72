#!/usr/bin/env bash
# Bring up the real parts, run every test over them, and take them down.
set -euo pipefail
cd "$(dirname "$0")/.."
trap 'bash tests/support/stack.sh down' EXIT
bash tests/support/stack.sh up
eval "$(bash tests/support/stack.sh env)"
export PATH="$PWD/.venv/bin:$PATH"
.venv/bin/python -m pytest --durations=20 "$@"
