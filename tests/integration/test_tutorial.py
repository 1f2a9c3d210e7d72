"""The tutorial, as somebody follows it who has just found the project."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dynamo_build.cli.app import COMMANDS
from support.documents import ROOT, run

NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that belongs to a user without rights, when there are rights to give away."""
    made = Path(tempfile.mkdtemp(prefix="tutorial-"))
    yield made
    shutil.rmtree(made)


@pytest.mark.timeout(600)
def test_from_nothing_to_manifests(folder: Path) -> None:
    """Every block in order, without root, in a home of its own, from an installation that pip made."""
    checkout = folder / "checkout"
    ignored = shutil.ignore_patterns(
        ".venv", ".bench", ".demo", ".git", "*_cache", ".hypothesis", "__pycache__", "tests"
    )
    shutil.copytree(ROOT, checkout, ignore=ignored)
    home = folder / "home"
    home.mkdir()
    user = NOBODY if os.geteuid() == 0 else None
    if user is not None:
        subprocess.run(["chown", "-R", str(user), str(folder)], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kept = {
        name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "LANG", "LC_", "SSL_"))
    }
    around = {**kept, "HOME": str(home), "PATH": "/usr/local/bin:/usr/bin:/bin", "DOCKER_HOST": "unix:///none"}
    said = run(ROOT / "docs" / "tutorial.md", checkout, around, port, user)
    assert "hello brave" in said[2]
    objects = list(yaml.safe_load_all((home / "my-graph" / "manifests.yaml").read_text()))
    assert {"Deployment", "Service", "ConfigMap"} <= {item["kind"] for item in objects}
    assert "greeter" in (home / "my-graph" / "compose.yaml").read_text()
    for command in COMMANDS:
        helped = subprocess.run(
            [home / "dynamo/bin/dynamo", command, "--help"],
            cwd=home,
            env=around,
            user=user,
            capture_output=True,
            text=True,
        )
        assert helped.returncode == 0, f"{command} of the installation: {helped.stderr}"
