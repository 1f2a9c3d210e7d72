"""Credentials that are verified before they are stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_build.errors import RegistryError, UsageError
from dynamo_build.pipeline.login import login, logout, parse_host
from support import registry


def test_hosts() -> None:
    """The names of Docker Hub are one."""
    assert parse_host("https://registry.example:5000/") == "registry.example:5000"
    assert parse_host("index.docker.io") == "docker.io"
    for text in ("", "host/path", "user@host", "a b"):
        with pytest.raises(UsageError, match="is not a registry"):
            parse_host(text)


def test_only_what_the_registry_takes_is_stored(tmp_path: Path) -> None:
    """A wrong password leaves nothing; a right one can be removed once."""
    environment = {"DOCKER_CONFIG": str(tmp_path)}
    with registry.running("me", "secret") as (host, _):
        with pytest.raises(RegistryError):
            login(host, "me", "wrong", environment)
        with pytest.raises(UsageError, match="the password is empty"):
            login(host, "me", "", environment)
        assert not (tmp_path / "config.json").exists()
        stored = login(host, "me", "secret", environment)
    assert (stored.host, stored.user) == (host, "me")
    assert stored.place == str(tmp_path / "config.json")
    assert logout(host, environment)
    assert not logout(host, environment)
