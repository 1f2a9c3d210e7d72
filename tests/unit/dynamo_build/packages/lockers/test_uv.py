"""uv as a locker, with a small program in uv's place."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from dynamo_build.errors import LockError, ToolMissing
from dynamo_build.events import ignore
from dynamo_build.model.plan import Requirements
from dynamo_build.packages.lockers.uv import UvLocker
from dynamo_build.seams import Surroundings

PROGRAM = """#!{python}
import json, os, sys
arguments = sys.argv[1:]
output = arguments[arguments.index("--output-file") + 1]
with open({log!r}, "a") as log:
    log.write(json.dumps([arguments, open(arguments[-1]).read(), os.environ.get("UV_OFFLINE", "")]) + "\\n")
{body}
"""


def uv(tmp_path: Path, body: str) -> dict[str, str]:
    """An environment whose uv is a program with this body."""
    path = tmp_path / "uv"
    path.write_text(PROGRAM.format(python=sys.executable, log=str(tmp_path / "log"), body=body))
    path.chmod(0o755)
    return {"DYNAMO_UV": str(path), "UV_OFFLINE": "1"}


def lock(tmp_path: Path, environment: dict[str, str], **wanted: object) -> object:
    surroundings = Surroundings(environment=environment, cache=tmp_path)
    return UvLocker(surroundings).lock(Requirements(lines=("b", "a"), **wanted), tmp_path, ignore)  # type: ignore[arg-type]


def test_each_platform_on_its_own_without_addresses(tmp_path: Path) -> None:
    """uv is asked once a platform, for the image's Python, with hashes and no header."""
    environment = uv(tmp_path, f"open(output, 'w').write('b==2 \\\\\\n    --hash=sha256:{'0' * 64}\\na==1\\n')")
    found = lock(tmp_path, environment, platforms=("linux/amd64", "linux/arm64"), python="3.12")
    assert [package.name for package in found.packages["linux/arm64"]] == ["a", "b"]  # type: ignore[attr-defined]
    calls = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [call[0][call[0].index("--python-platform") + 1] for call in calls] == [
        "x86_64-manylinux_2_28",
        "aarch64-manylinux_2_28",
    ]
    assert {"--generate-hashes", "--no-header", "--no-emit-index-url", "--no-emit-find-links"} <= set(calls[0][0])
    assert (calls[0][1], calls[0][2]) == ("b\na\n", "1")


def test_a_refusal_is_told_in_one_line_without_passwords(tmp_path: Path) -> None:
    """What uv said is in the message; credentials of an address are not."""
    environment = uv(tmp_path, "sys.exit('  × No solution found: https://user:hunter2@host/simple has no a==9')")
    with pytest.raises(LockError) as caught:
        lock(tmp_path, environment)
    assert "no solution found" in caught.value.message.lower()
    assert "hunter2" not in caught.value.message and "\n" not in caught.value.message
    assert caught.value.hints


def test_offline_without_what_is_needed(tmp_path: Path) -> None:
    """It is a LockError that says so and what to do, not that a name is wrong."""
    with pytest.raises(LockError) as caught:
        lock(tmp_path, uv(tmp_path, "sys.exit('error: Because b was not found in the cache')"))
    assert "may not ask the index" in caught.value.message
    assert caught.value.hints == ("Build once without `--offline`, or commit dynamo.lock.",)


def test_a_package_from_git_is_locked_by_its_commit(tmp_path: Path) -> None:
    """The branch that was asked for is not what is locked."""
    line = f"b @ git+https://example.com/b.git@{'a' * 40}"
    found = lock(tmp_path, uv(tmp_path, f"open(output, 'w').write({line!r} + chr(10))"))
    (package,) = found.packages["linux/amd64"]  # type: ignore[attr-defined]
    assert (package.name, package.version, package.source) == ("b", "", line.partition(" @ ")[2])


def test_an_answer_that_is_not_exact_is_refused(tmp_path: Path) -> None:
    """An editable or local package in the answer is a LockError."""
    with pytest.raises(LockError):
        lock(tmp_path, uv(tmp_path, "open(output, 'w').write('-e .\\n')"))


def test_a_missing_uv(tmp_path: Path) -> None:
    """It is a ToolMissing with what to do."""
    with pytest.raises(ToolMissing):
        lock(tmp_path, {"DYNAMO_UV": str(tmp_path / "none")})
