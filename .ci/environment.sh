#!/usr/bin/env bash
# Make the local environment: pinned and hashed packages, then this project, editable.
set -euo pipefail
python=$1 venv=$2
cd "$(dirname "$0")/.."
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "error: $python is older than 3.11; name another with \`make PYTHON=python3.12 ...\`" >&2; exit 2
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  echo "error: $python has no venv module; on Debian: apt-get install python3-venv" >&2; exit 2
fi
echo "making $venv (once; about a minute)" >&2
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .ci/requirements.txt
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
touch "$venv/.ready"
