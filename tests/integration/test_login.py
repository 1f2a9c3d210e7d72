"""`dynamo login` against a real registry with TLS and a password."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.command_line import dynamo


def login(folder: Path, *arguments: str, secret: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command with a password on stdin, as a pipeline gives it."""
    return subprocess.run(
        [sys.executable, "-m", "dynamo_build", "login", *arguments, "--password-stdin"],
        cwd=folder,
        env={**os.environ, "DOCKER_CONFIG": str(folder / "docker"), **environment},
        input=secret + "\n",
        capture_output=True,
        text=True,
    )


@pytest.mark.registry
def test_login_and_logout(registry_tls: dict[str, str], tmp_path: Path) -> None:
    """The right password is kept and opens the registry; the wrong one is refused with 13 and not kept."""
    host, user = registry_tls["address"], registry_tls["user"]
    around = {"SSL_CERT_FILE": registry_tls["ca"]}
    wrong = login(tmp_path, host, "-u", user, secret="wrong", **around)
    assert wrong.returncode == 13 and "refused the credentials" in wrong.stderr, wrong.stderr
    assert not (tmp_path / "docker").exists()
    right = login(tmp_path, host, "-u", user, secret=registry_tls["password"], **around)
    assert right.returncode == 0, right.stderr
    assert registry_tls["password"] not in right.stderr + right.stdout
    assert host in json.loads((tmp_path / "docker/config.json").read_text())["auths"]
    out = dynamo("logout", host, folder=tmp_path, DOCKER_CONFIG=str(tmp_path / "docker"))
    assert out.returncode == 0 and "logged out" in out.stderr
    assert json.loads((tmp_path / "docker/config.json").read_text())["auths"] == {}


def test_mistakes(tmp_path: Path) -> None:
    """No name, no password, no terminal, no host, nobody there: a line each and the documented code."""
    assert login(tmp_path, "127.0.0.1:1", secret="x").returncode == 2
    assert login(tmp_path, "127.0.0.1:1", "-u", "me", secret="").returncode == 2
    assert login(tmp_path, "a/b", "-u", "me", secret="x").returncode == 2
    assert dynamo("login", "127.0.0.1:1", folder=tmp_path).returncode == 2
    gone = login(tmp_path, "127.0.0.1:1", "-u", "me", secret="x")
    assert gone.returncode == 13 and "Traceback" not in gone.stderr
