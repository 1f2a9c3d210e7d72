"""The tutorial, as somebody follows it who has just found the project."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import yaml

from support.documents import ROOT, run


def test_from_nothing_to_manifests(tmp_path: Path) -> None:
    """Every block in order, in a home of its own, from an installation that pip made."""
    checkout = tmp_path / "checkout"
    ignored = shutil.ignore_patterns(
        ".venv", ".bench", ".demo", ".git", "*_cache", ".hypothesis", "__pycache__", "tests"
    )
    shutil.copytree(ROOT, checkout, ignore=ignored)
    home = tmp_path / "home"
    home.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kept = {
        name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "LANG", "LC_", "SSL_"))
    }
    around = {**kept, "HOME": str(home), "PATH": "/usr/local/bin:/usr/bin:/bin", "DOCKER_HOST": "unix:///none"}
    said = run(ROOT / "docs" / "tutorial.md", checkout, around, port)
    assert "hello brave" in said[2]
    objects = list(yaml.safe_load_all((home / "my-graph" / "manifests.yaml").read_text()))
    assert {"Deployment", "Service", "ConfigMap"} <= {item["kind"] for item in objects}
    assert "greeter" in (home / "my-graph" / "compose.yaml").read_text()
