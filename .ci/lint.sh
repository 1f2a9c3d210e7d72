#!/usr/bin/env bash
# Style, types and import contracts; the rules of the house are tests (tests/test_house_*.py).
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
$bin/ruff check .
$bin/ruff format --check .
$bin/mypy
$bin/lint-imports --no-cache >/tmp/dynamo-lint-imports.$$ 2>&1 || { cat /tmp/dynamo-lint-imports.$$; rm -f /tmp/dynamo-lint-imports.$$; exit 1; }
rm -f /tmp/dynamo-lint-imports.$$
echo "lint: clean"
