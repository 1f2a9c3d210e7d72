"""Credentials for registries, from the docker config, its credential helpers or `DOCKER_AUTH_CONFIG` alone.

Source: the docker CLI's config file (`auths`, `credHelpers`, `credsStore`) and the credential helper protocol.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dynamo_build.errors import RegistryError, UsageError

_HUB = "https://index.docker.io/v1/"
_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A user with a secret, or an identity token that buys access tokens. Neither shows in a repr."""

    user: str = ""
    secret: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def basic_header(self) -> str:
        """The value of a basic Authorization header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()


def find_credentials(host: str, environment: Mapping[str, str]) -> Credentials | None:
    """The credentials for a registry. Raises UsageError for a damaged config, RegistryError for a failing helper."""
    for config in _list_configs(environment):
        if found := _find_in_config(config, host, environment):
            return found
    return None


def store_credentials(host: str, credentials: Credentials, environment: Mapping[str, str]) -> str:
    """Keep a login where docker keeps its own, and say where: the config's credential helper, else the config itself.

    Raises UsageError for a config that cannot be read or written, RegistryError for a failing helper.
    """
    path, config = _own_config(environment)
    name = _HUB if host == "docker.io" else host
    if helper := _find_helper(config, host):
        entry = {"ServerURL": name, "Username": credentials.user, "Secret": credentials.secret}
        _run_helper(helper, "store", json.dumps(entry), environment)
        return f"docker-credential-{helper}"
    auths = config.get("auths")
    auths = dict(auths) if isinstance(auths, dict) else {}
    auths[name] = {"auth": credentials.basic_header.removeprefix("Basic ")}
    _write_config(path, {**config, "auths": auths})
    return str(path)


def remove_credentials(host: str, environment: Mapping[str, str]) -> bool:
    """Remove a login; False when there was none. Raises as `remember` does."""
    path, config = _own_config(environment)
    if helper := _find_helper(config, host):
        found = any(_ask_helper(helper, name, environment, required=True) for name in _registry_names(host))
        for name in _registry_names(host) if found else ():
            _run_helper(helper, "erase", name, environment)
        return found
    auths = config.get("auths")
    kept = (
        {name: entry for name, entry in auths.items() if name not in _registry_names(host)}
        if isinstance(auths, dict)
        else {}
    )
    if not isinstance(auths, dict) or len(kept) == len(auths):
        return False
    _write_config(path, {**config, "auths": kept})
    return True


def _own_config(environment: Mapping[str, str]) -> tuple[Path, Mapping[str, Any]]:
    home = environment.get("DOCKER_CONFIG") or str(Path(environment.get("HOME") or "/nonexistent", ".docker"))
    path = Path(home, "config.json")
    try:
        return path, _parse_config(path.read_text(), f"`{path}`")
    except FileNotFoundError:
        return path, {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"`{path}` cannot be read: {error}", ["Correct it or remove it."]) from error


def _find_helper(config: Mapping[str, Any], host: str) -> str:
    helpers = config.get("credHelpers")
    named = (
        next((helpers[name] for name in _registry_names(host) if name in helpers), "")
        if isinstance(helpers, dict)
        else ""
    )
    return str(named or config.get("credsStore") or "")


def _write_config(path: Path, config: Mapping[str, Any]) -> None:
    """Replace the config in one step, readable by its owner alone."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            json.dump(config, stream, indent=2)
            stream.write("\n")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(f"`{path}` cannot be written: {(error.strerror or str(error)).lower()}") from error


def _run_helper(helper: str, verb: str, text: str, environment: Mapping[str, str]) -> None:
    program = f"docker-credential-{helper}"
    found = shutil.which(program, path=environment.get("PATH")) if "/" not in helper else None
    if found is None:
        raise RegistryError(f"the docker config names `{program}`, which is not on PATH", [f"Install `{program}`."])
    try:
        done = subprocess.run(
            [found, verb], input=text, capture_output=True, text=True, timeout=_SECONDS, env=dict(environment)
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RegistryError(f"`{program}` gave no answer: {type(error).__name__}", ["Run it by hand."]) from None
    if done.returncode:
        raise RegistryError(f"`{program} {verb}` failed with {done.returncode}", ["Run it by hand."])


def _list_configs(environment: Mapping[str, str]) -> list[Mapping[str, Any]]:
    found = []
    if text := environment.get("DOCKER_AUTH_CONFIG", ""):
        found.append(_parse_config(text, "DOCKER_AUTH_CONFIG"))
    found.append(_own_config(environment)[1])
    return found


def _parse_config(text: str, what: str) -> Mapping[str, Any]:
    try:
        config = json.loads(text)
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise UsageError(f"{what} is not a docker config", ["Remove it; `dynamo login` writes a new one."])
    return config


def _find_in_config(config: Mapping[str, Any], host: str, environment: Mapping[str, str]) -> Credentials | None:
    names = _registry_names(host)
    helpers = config.get("credHelpers")
    helper = next((helpers[name] for name in names if name in helpers), "") if isinstance(helpers, dict) else ""
    if helper or config.get("credsStore"):
        for name in names:
            if found := _ask_helper(str(helper or config["credsStore"]), name, environment, required=bool(helper)):
                return found
    entries = config.get("auths")
    for name in names:
        entry = entries.get(name) if isinstance(entries, dict) else None
        if isinstance(entry, dict) and (found := _parse_entry(entry)):
            return found
    return None


def _registry_names(host: str) -> list[str]:
    names = [host, f"https://{host}", f"https://{host}/v1/", f"https://{host}/v2/", f"http://{host}"]
    return [_HUB, "index.docker.io", *names] if host in ("docker.io", "registry-1.docker.io") else names


def _parse_entry(entry: Mapping[str, Any]) -> Credentials | None:
    token = str(entry.get("identitytoken") or "")
    user, secret = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            user, _, secret = base64.b64decode(str(entry["auth"]), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise UsageError(
                "an `auth` in the docker config is not base64", ["Log in again with `dynamo login`."]
            ) from None
    return Credentials(user=user, secret=secret.rstrip("\0"), identity_token=token) if token or user else None


def _ask_helper(helper: str, name: str, environment: Mapping[str, str], *, required: bool) -> Credentials | None:
    program = f"docker-credential-{helper}"
    found = shutil.which(program, path=environment.get("PATH")) if "/" not in helper else None
    if found is None:
        if not required:
            return None
        raise RegistryError(f"the docker config names `{program}`, which is not on PATH", [f"Install `{program}`."])
    try:
        done = subprocess.run(
            [found, "get"],
            input=name,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            env=dict(environment),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RegistryError(f"`{program}` gave no answer: {type(error).__name__}", ["Run it by hand."]) from None
    if done.returncode:
        return None
    try:
        answer = json.loads(done.stdout)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise RegistryError(f"`{program}` gave an invalid answer", ["Run it by hand."]) from None
    if user == "<token>":
        return Credentials(identity_token=secret)
    return Credentials(user=user, secret=secret)
