"""The verbs `login` and `logout`: verify and store the credentials of a registry, and remove them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dynamo_build.errors import UsageError
from dynamo_build.registries import credentials
from dynamo_build.registries.http.client import check_login

_DOCKER_HUB = ("index.docker.io", "registry-1.docker.io")


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A registry, the user that is logged in, and where the credentials are stored."""

    host: str
    user: str
    place: str


def login(host: str, user: str, secret: str, environment: Mapping[str, str], *, insecure: bool = False) -> Login:
    """Verify the credentials with the registry, and store them where docker stores its own.

    `insecure` allows plain HTTP to a host that is not on loopback. Raises UsageError for the host, an empty secret or a
    damaged docker config, RegistryError when the registry refuses the credentials or a credential helper fails.
    """
    host = parse_host(host)
    if not secret:
        raise UsageError("the password is empty", ["Check the variable that it comes from."])
    given = credentials.Credentials(user=user, secret=secret)
    check_login(host, given, environment, (host,) if insecure else ())
    return Login(host=host, user=user, place=credentials.remember(host, given, environment))


def logout(host: str, environment: Mapping[str, str]) -> bool:
    """Remove the credentials of a registry; False when there were none. Raises as `login` does."""
    return credentials.forget(parse_host(host), environment)


def parse_host(text: str) -> str:
    """The host of a registry, with a port or without. Raises UsageError."""
    host = text.removeprefix("https://").removeprefix("http://").rstrip("/")
    if not host or "/" in host or "@" in host or any(character.isspace() for character in host):
        raise UsageError(f"`{text}` is not a registry", ["Write HOST or HOST:PORT."])
    return "docker.io" if host in _DOCKER_HUB else host
