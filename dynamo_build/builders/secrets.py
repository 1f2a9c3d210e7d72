"""Build secrets: named on the command line, mounted or passed on, masked in output, never kept in the image.

Source: Dockerfile reference, `RUN --mount=type=secret`; docker-buildx-build(1), `--secret`.
"""

from __future__ import annotations

import configparser
import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dynamo_build.errors import DynamoError, UsageError
from dynamo_build.events import Event, Listener
from dynamo_build.model.image import BuildSecret

#: Where a command in a Dockerfile finds a secret, by its id.
FOLDER = "/run/secrets"
#: Ids with a meaning for installers: a file of logins, and pip's and uv's own settings.
NETRC, PIP, UV = "netrc", "pip", "uv"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_FORM = "Write `id=NAME,src=FILE` or `id=NAME,env=VARIABLE`."
_USER = re.compile(r"://([^/@\s:]+):([^/@\s]+)@")
#: Shorter words would hide half of what a program says.
_SHORT = 6
_PLAIN = {"machine", "default", "account", "password", "macdef"}


def parsed(given: str, environment: Mapping[str, str]) -> BuildSecret:
    """A secret as the command line names it. Raises UsageError, also when there is no such file or variable."""
    fields = dict(part.partition("=")[::2] for part in given.split(","))
    name, path, variable = (
        fields.pop("id", ""),
        fields.pop("src", "") or fields.pop("source", ""),
        fields.pop("env", ""),
    )
    if fields.pop("type", "file") not in ("file", "env") or fields or not _ID.fullmatch(name):
        raise UsageError("`--secret` has an invalid form", [_FORM])
    if bool(path) == bool(variable):
        raise UsageError(f"the secret `{name}` needs either a file or a variable", [_FORM])
    if variable and variable not in environment:
        raise UsageError(f"the secret `{name}` uses `{variable}`, which is not set", [f"Set `{variable}`."])
    if path and not Path(path).expanduser().is_file():
        raise UsageError(f"the secret `{name}` uses `{path}`, which is not a file", [_FORM])
    return BuildSecret(id=name, path=str(Path(path).expanduser().absolute()) if path else "", variable=variable)


def content(secret: BuildSecret, environment: Mapping[str, str]) -> str:
    """The secret itself. Raises UsageError when it cannot be read."""
    if secret.variable:
        return environment.get(secret.variable, "")
    try:
        return Path(secret.path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the secret `{secret.id}` cannot be read: {error}") from error


def options(secrets: Sequence[BuildSecret]) -> list[str]:
    """As docker, buildah and podman take them: names of files and variables, never what is in them."""
    sources = (f"id={one.id},src={one.path}" if one.path else f"id={one.id},env={one.variable}" for one in secrets)
    return [word for source in sources for word in ("--secret", source)]


def arguments(given: Mapping[str, str], environment: Mapping[str, str]) -> list[str]:
    """Build arguments as these programs take them. A value that the environment has, such as a proxy with its login, is
    taken from there: what stands in a command is there for all users of the machine to see.
    """
    said = (name if environment.get(name) == value else f"{name}={value}" for name, value in sorted(given.items()))
    return [word for argument in said for word in ("--build-arg", argument)]


@contextlib.contextmanager
def variables(secrets: Sequence[BuildSecret], environment: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """The environment for a child that installs packages: NETRC and UV_CONFIG_FILE name files, what pip's settings
    say of indexes is told to uv, and any other id is a variable.

    A secret that is in a variable and is needed as a file lies in one for as long, for this user alone.
    """
    if not secrets:
        yield environment
        return
    found = dict(environment)
    with tempfile.TemporaryDirectory(prefix="dynamo-secrets-") as folder:
        for secret in secrets:
            variable = {NETRC: "NETRC", UV: "UV_CONFIG_FILE"}.get(secret.id, "")
            if secret.id == PIP:
                found |= _indexes(content(secret, environment))
            elif not variable:
                found[secret.id] = content(secret, environment).rstrip("\n")
            else:
                place = Path(folder, secret.id)
                if secret.path:
                    shutil.copyfile(secret.path, place)
                else:
                    place.write_text(content(secret, environment))
                found[variable] = str(place)
        yield found


def _indexes(settings: str) -> dict[str, str]:
    """What pip's settings say of indexes, as uv takes it."""
    read = configparser.RawConfigParser()
    with contextlib.suppress(configparser.Error):
        read.read_string(settings)
    names = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX"}
    said = {name: value for part in ("global", "install") if part in read for name, value in read[part].items()}
    return {names[name]: " ".join(value.split()) for name, value in said.items() if name in names}


class Mask:
    """Replaces secrets in what is said, by us and by programs."""

    def __init__(self, secrets: Sequence[BuildSecret], environment: Mapping[str, str]) -> None:
        words = {word for secret in secrets for word in _words(content(secret, environment))}
        self._words = sorted(words, key=len, reverse=True)

    def text(self, said: str) -> str:
        """The text without them."""
        for word in self._words:
            said = said.replace(word, "***")
        return said

    def listener(self, on: Listener) -> Listener:
        """Hands on events without them."""
        if not self._words:
            return on

        def mask_event(event: Event) -> None:
            fields: dict[str, Any] = {name: getattr(event, name) for name in event.__dataclass_fields__}
            changed: dict[str, Any] = {
                name: self.text(value) for name, value in fields.items() if isinstance(value, str)
            }
            on(replace(event, **changed))

        return mask_event

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """An error of ours leaves without them."""
        try:
            yield
        except DynamoError as error:
            error.message = self.text(error.message)
            error.hints = tuple(self.text(hint) for hint in error.hints)
            error.args = (error.message,)
            raise


def _words(secret: str) -> set[str]:
    """What of a file of settings or logins must not be said: all, its words, and passwords in addresses."""
    found = {secret.strip()}
    for line in secret.splitlines():
        found |= {part for word in line.split() for part in (word, word.partition("=")[2].strip("\"'"))}
        for user, password in _USER.findall(line):
            found |= {user, password}
    return {word for word in found if len(word) >= _SHORT and word not in _PLAIN}
