#!/usr/bin/env bash
# The long fault and fuzz runs: every property test with many more examples, every fault test many times over.
set -euo pipefail
cd "$(dirname "$0")/.."
trap 'bash tests/support/stack.sh down' EXIT
[ "$(id -u)" != 0 ] || command -v chromium >/dev/null || apt-get install -y --no-install-recommends chromium >&2
DYNAMO_STACK_NEWER=trixie bash tests/support/stack.sh up
eval "$(bash tests/support/stack.sh env)"
.venv/bin/python tests/support/campaign.py
