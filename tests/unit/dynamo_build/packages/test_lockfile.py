"""dynamo.lock out and in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo_build.errors import LockError
from dynamo_build.model.plan import Lock, LockedPackage, Requirements
from dynamo_build.packages import lockfile
from support.effort import examples

WANTED = Requirements(lines=("pydantic>=2", "a"), platforms=("linux/amd64", "linux/arm64"))
HASH = "sha256:" + "ab" * 32
PACKAGES = (
    LockedPackage(name="a-b", version="1.0+cpu", hashes=(HASH,)),
    LockedPackage(name="c", version="2!1.0rc1", marker="sys_platform == 'linux'"),
    LockedPackage(name="d", version="", source="git+https://example.org/d@" + "0" * 40),
)


def test_a_lock_survives(tmp_path: Path) -> None:
    """What is written is read back, and fits the question it answers and no other."""
    path = tmp_path / lockfile.NAME
    lock = Lock(python="3.11", packages={"linux/amd64": PACKAGES, "linux/arm64": ()})
    path.write_bytes(lockfile.format_lock(lock, WANTED))
    asked, read = lockfile.read_lock(path)
    assert read == replace(lock, written=str(path))
    assert asked == lockfile.digest_requirements(WANTED)
    assert lockfile.is_lock_current(path, WANTED)
    assert lockfile.is_lock_current(path, replace(WANTED, lines=("a", "pydantic>=2")))
    for other in (
        replace(WANTED, python="3.12"),
        replace(WANTED, lines=("a",)),
        replace(WANTED, platforms=("linux/amd64",)),
        replace(WANTED, constraints=("a==1",)),
    ):
        assert not lockfile.is_lock_current(path, other)


def test_names_are_normalised_and_sorted() -> None:
    """PEP 503; the order of a file does not matter."""
    text = f"Zed_A==1 \\\n    --hash={HASH}\n# comment\n\nfoo.bar[x]==2 ; python_version > '3'\n"
    found = lockfile.parse_requirements(text, "x")
    assert [(package.name, package.version, package.marker) for package in found] == [
        ("foo-bar", "2", "python_version > '3'"),
        ("zed-a", "1", ""),
    ]
    assert found[1].hashes == (HASH,)


@pytest.mark.parametrize("line", ["a", "a>=1", "-e .", "--index-url x", "a==1 --hash=md5:0", "./a", "a==1 b==2"])
def test_what_is_not_exact_is_refused(line: str) -> None:
    """The line is named."""
    with pytest.raises(LockError, match="x:2: "):
        lockfile.parse_requirements(f"# head\n{line}\n", "x")


@settings(max_examples=examples(80), deadline=None)
@given(st.text(max_size=200))
def test_fuzzed_locks(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Any text is read or refused."""
    path = tmp_path_factory.mktemp("p") / "dynamo.lock"
    path.write_bytes(("# dynamo.lock 1\n# python 3.11\n# platform x\n" + text).encode("utf-8", "surrogatepass"))
    try:
        lockfile.read_lock(path)
    except LockError:
        pass
