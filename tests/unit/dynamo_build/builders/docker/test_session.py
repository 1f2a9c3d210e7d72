"""Which docker command can mount secrets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dynamo_build.builders.docker import session


def program(folder: Path, version: str, buildx: str) -> str:
    folder.mkdir()
    path = folder / "docker"
    path.write_text(
        f'#!/bin/sh\ncase "$1" in --version) echo "Docker version {version}, build x" ;; buildx) {buildx} ;; esac\n'
    )
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("version", "buildx", "able"),
    [
        ("20.10.24+dfsg1", "exit 1", True),
        ("28.2.2", "exit 1", False),
        ("28.2.2", "exit 0", True),
        ("odd", "exit 1", False),
    ],
)
def test_a_client_of_buildkit(version: str, buildx: str, able: bool, tmp_path: Path) -> None:
    """Before docker 23 it is a part of the command, since then a plugin."""
    found = program(tmp_path / "bin", version, buildx)
    assert session.find_client({"PATH": str(tmp_path / "bin")}) == (found if able else "")


def test_the_first_that_is_able(tmp_path: Path) -> None:
    """One without the plugin may hide another in PATH; what cannot be run is passed over."""
    program(tmp_path / "new", "28.2.2", "exit 1")
    old = program(tmp_path / "old", "20.10.24", "exit 1")
    (tmp_path / "none").mkdir()
    (tmp_path / "none/docker").write_text("")
    path = os.pathsep.join(str(tmp_path / name) for name in ("none", "missing", "new", "old"))
    assert session.find_client({"PATH": path}) == old
    assert session.find_client({"PATH": ""}) == ""
