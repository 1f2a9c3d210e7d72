#!/usr/bin/env bash
# Bring up the real parts, run every test over them, and take them down. With arguments: one run of pytest with these.
#
# Without arguments there are two runs at a time. The one that holds the unit tests prints when the other is done, so
# that neither writes into the other's lines; the closing lines of both come last.
set -euo pipefail
cd "$(dirname "$0")/.."
beside=(tests/unit tests/contracts tests/typing tests/k8s_contract tests/test_*.py)
pid= work=$(mktemp -d)
finish() {
  if [ -n "$pid" ]; then kill -INT "$pid" 2>/dev/null || true; wait "$pid" || true; fi
  bash tests/support/stack.sh down
  rm -rf "$work"
}
trap finish EXIT
say_time() { printf 'time: %s s: %s\n' "$((SECONDS - $1))" "$2"; }

begin=$SECONDS
bash tests/support/stack.sh up
eval "$(bash tests/support/stack.sh env)"
say_time "$begin" "start of the real parts"
export PATH="$PWD/.venv/bin:$PATH"
begin=$SECONDS code=0
if [ $# -gt 0 ]; then
  .venv/bin/python -m pytest --durations=20 "$@" || code=$?
  say_time "$begin" "tests"
  exit $code
fi

echo "tests of ${beside[*]} run at the same time; they print below"
.venv/bin/python -m pytest -p no:cacheprovider --durations=20 "${beside[@]}" >"$work/beside" 2>&1 &
pid=$!
.venv/bin/python -m pytest -p no:cacheprovider --durations=20 tests "${beside[@]/#/--ignore=}" | tee "$work/others" || code=1
say_time "$begin" "the other tests"
wait "$pid" || code=1
pid=
cat "$work/beside"
say_time "$begin" "all tests"
for run in others beside; do tail -n 1 "$work/$run"; done
exit $code
