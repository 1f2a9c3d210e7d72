"""Credentials from the docker config, its helpers and the environment."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from dynamo_build.errors import RegistryError, UsageError
from dynamo_build.registries import credentials
from dynamo_build.registries.credentials import Credentials

AUTH = base64.b64encode(b"me:se:cret").decode()


def config(tmp_path: Path, document: object) -> dict[str, str]:
    (tmp_path / "config.json").write_text(document if isinstance(document, str) else json.dumps(document))
    return {"DOCKER_CONFIG": str(tmp_path), "PATH": str(tmp_path)}


def helper(tmp_path: Path, name: str, script: str) -> None:
    path = tmp_path / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("key", ["host:5000", "https://host:5000", "https://host:5000/v1/", "https://host:5000/v2/"])
def test_auths_are_found_under_each_form(tmp_path: Path, key: str) -> None:
    """`docker login` has written several forms of a registry's name."""
    found = credentials.find("host:5000", config(tmp_path, {"auths": {key: {"auth": AUTH}}}))
    assert found == Credentials(user="me", secret="se:cret")


def test_docker_hub_has_a_name_of_its_own(tmp_path: Path) -> None:
    """Its entry is an old URL."""
    environment = config(tmp_path, {"auths": {"https://index.docker.io/v1/": {"auth": AUTH}}})
    assert credentials.find("docker.io", environment).user == "me"


def test_no_config_no_credentials(tmp_path: Path) -> None:
    """No file, an empty one and one for another registry give nothing."""
    assert credentials.find("host", {"HOME": str(tmp_path)}) is None
    assert credentials.find("host", config(tmp_path, {})) is None
    assert credentials.find("host", config(tmp_path, {"auths": {"other": {"auth": AUTH}}})) is None


def test_the_environment_can_hold_a_config(tmp_path: Path) -> None:
    """`DOCKER_AUTH_CONFIG` comes before the file."""
    environment = {**config(tmp_path, {}), "DOCKER_AUTH_CONFIG": json.dumps({"auths": {"host": {"auth": AUTH}}})}
    assert credentials.find("host", environment).user == "me"


def test_a_helper_is_asked(tmp_path: Path) -> None:
    """The helper of a registry gets its name on stdin; `<token>` marks an identity token."""
    helper(tmp_path, "one", """read host; echo "{\\"Username\\":\\"$host\\",\\"Secret\\":\\"s\\"}" """)
    helper(tmp_path, "two", """echo '{"Username":"<token>","Secret":"t"}'""")
    environment = config(tmp_path, {"credHelpers": {"host": "one"}, "credsStore": "two"})
    environment["PATH"] += ":/bin:/usr/bin"
    assert credentials.find("host", environment) == Credentials(user="host", secret="s")
    assert credentials.find("else", environment) == Credentials(identity_token="t")


def test_a_helper_that_is_missing_or_broken_says_so(tmp_path: Path) -> None:
    """Missing and named for this registry: an error. Missing as the general store: nothing. No answer: nothing."""
    with pytest.raises(RegistryError, match="docker-credential-gone"):
        credentials.find("host", config(tmp_path, {"credHelpers": {"host": "gone"}}))
    assert credentials.find("host", config(tmp_path, {"credsStore": "gone"})) is None
    helper(tmp_path, "bad", "echo nonsense")
    with pytest.raises(RegistryError, match="invalid answer"):
        credentials.find("host", config(tmp_path, {"credHelpers": {"host": "bad"}}))
    helper(tmp_path, "bad", "exit 1")
    assert credentials.find("host", config(tmp_path, {"credHelpers": {"host": "bad"}})) is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"auths":{"host":{"auth":"%%%"}}}'])
def test_a_damaged_config_is_one_line(tmp_path: Path, text: str) -> None:
    """A config that cannot be read is the user's to mend."""
    with pytest.raises(UsageError):
        credentials.find("host", config(tmp_path, text))


def test_secrets_do_not_show() -> None:
    """Neither a secret nor a token is in the repr."""
    assert "hidden" not in repr(Credentials(user="me", secret="hidden", identity_token="hidden"))


def test_a_login_is_kept_and_found_again(tmp_path: Path) -> None:
    """Other logins and settings of the config stay; only the owner can read it."""
    environment = config(tmp_path, {"auths": {"other": {"auth": AUTH}}, "proxies": {"default": {}}})
    said = credentials.remember("host:5000", Credentials(user="me", secret="a:b"), environment)
    assert said == str(tmp_path / "config.json")
    assert credentials.find("host:5000", environment) == Credentials(user="me", secret="a:b")
    assert credentials.find("other", environment) is not None
    assert json.loads((tmp_path / "config.json").read_text())["proxies"] == {"default": {}}
    assert (tmp_path / "config.json").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json"]


def test_a_first_login_makes_the_folder(tmp_path: Path) -> None:
    """No config yet: the folder is made for its owner alone."""
    environment = {"DOCKER_CONFIG": str(tmp_path / "new"), "PATH": ""}
    credentials.remember("docker.io", Credentials(user="me", secret="x"), environment)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert credentials.find("docker.io", environment) is not None


def test_logout_removes_every_form_of_the_name(tmp_path: Path) -> None:
    """And says when there was none."""
    environment = config(tmp_path, {"auths": {"https://host/v1/": {"auth": AUTH}, "host": {"auth": AUTH}}})
    assert credentials.forget("host", environment)
    assert credentials.find("host", environment) is None
    assert not credentials.forget("host", environment)


def test_a_helper_keeps_the_login(tmp_path: Path) -> None:
    """With `credsStore` nothing is written into the config; what goes to the helper is its protocol's JSON."""
    environment = config(tmp_path, {"credsStore": "mine"})
    environment["PATH"] += ":/usr/bin:/bin"
    helper(tmp_path, "mine", f'cat > {tmp_path}/"$1"')
    before = (tmp_path / "config.json").read_text()
    credentials.remember("host", Credentials(user="me", secret="x"), environment)
    assert json.loads((tmp_path / "store").read_text()) == {"ServerURL": "host", "Username": "me", "Secret": "x"}
    assert (tmp_path / "config.json").read_text() == before


def test_a_helper_that_fails_and_a_config_that_cannot_be_written(tmp_path: Path) -> None:
    """One line each, and the config is as it was."""
    environment = config(tmp_path, {"credsStore": "mine"})
    helper(tmp_path, "mine", "exit 3")
    with pytest.raises(RegistryError, match="failed with 3"):
        credentials.remember("host", Credentials(user="me", secret="x"), environment)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be"):
        credentials.remember("host", Credentials(user="me", secret="x"), {"DOCKER_CONFIG": str(tmp_path / "file")})
