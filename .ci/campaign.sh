#!/usr/bin/env bash
# The long fault and fuzz runs, or those with one of the given words in their names.
set -euo pipefail
cd "$(dirname "$0")/.."
bash tests/support/stack.sh env >/dev/null 2>&1 || trap 'bash tests/support/stack.sh down' EXIT
case "$*" in "" | *dashboard*) [ "$(id -u)" != 0 ] || command -v chromium >/dev/null || apt-get install -y --no-install-recommends chromium >&2 ;; esac
case "$*" in "" | *engines*) export DYNAMO_STACK_NEWER=trixie ;; esac
bash tests/support/stack.sh up
eval "$(bash tests/support/stack.sh env)"
.venv/bin/python tests/campaign/run.py "$@"
