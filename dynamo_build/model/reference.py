"""Digests, image references, platforms and bento tags, parsed once.

Source: OCI distribution spec (pull: name and tag grammar), OCI image spec (descriptor digests, platform).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from dynamo_build.errors import UsageError

#: What the reference of an image in a folder begins with.
LAYOUT = "oci:"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*")
_HOST = re.compile(r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::\d{1,5})?")
#: A scheme that names an entry point of `dynamo.registries`; after it comes no port, and before it no dot.
_SCHEME = re.compile(r"(?!localhost:)([a-z][a-z0-9-]*):(?!\d+(?:/|$))(?=[^/]+/)(.*)", re.DOTALL)
_BENTO_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_.-]{0,62}[a-z0-9])?")
_BENTO_VERSION = re.compile(r"[a-z0-9](?:[a-z0-9_.-]{0,62}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Digest:
    """`sha256:` and 64 hexadecimal digits."""

    value: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        if not _DIGEST.fullmatch(text):
            raise UsageError(f"`{text}` is not a digest", ["A digest is `sha256:` and 64 hexadecimal digits."])
        return cls(text)

    @property
    def hexadecimal(self) -> str:
        return self.value.removeprefix("sha256:")

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class ImageReference:
    """`[host[:port]/]path[:tag][@digest]`. `host` is "" when none was written.

    `oci:FOLDER[:TAG]` names an image in an OCI image layout; its host is `oci:` and its path the absolute folder
    without the first slash. `NAME:path[:tag][@digest]`, whose path has a slash, names an image in a registry of another
    distribution; its host is `NAME:`.
    """

    host: str
    path: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        rest, _, digest = text.partition("@")
        if digest:
            Digest.parse(digest)
        if rest.startswith(LAYOUT):
            return cls._parse_layout(rest.removeprefix(LAYOUT), digest)
        host = ""
        if match := _SCHEME.fullmatch(rest):
            host, rest = f"{match[1]}:", match[2]
        first, slash, remainder = rest.partition("/")
        if not host and slash and ("." in first or ":" in first or first == "localhost" or first.startswith("[")):
            host, rest = first, remainder
        path, colon, tag = rest.partition(":")
        valid = (
            (not host or host.endswith(":") or _HOST.fullmatch(host))
            and all(_COMPONENT.fullmatch(part) for part in path.split("/"))
            and (not colon or _TAG.fullmatch(tag))
            and len(path) <= 255
        )
        if not valid:
            raise UsageError(
                f"`{text}` is not an image reference",
                ["Write it as `registry.example:5000/team/name:tag`, in lower case."],
            )
        return cls(host, path, tag, digest)

    @classmethod
    def _parse_layout(cls, text: str, digest: str) -> ImageReference:
        folder, colon, tag = text.rpartition(":")
        if not colon or "/" in tag:
            folder, tag = text, ""
        if not folder or (tag and not _TAG.fullmatch(tag)):
            raise UsageError(f"`{LAYOUT}{text}` is not an image in a folder", ["Write it as `oci:FOLDER:TAG`."])
        return cls(LAYOUT, str(Path(folder).absolute())[1:], tag, digest)

    @property
    def folder(self) -> str:
        """The folder of an image in an OCI image layout; "" for an image in a registry."""
        return f"/{self.path}" if self.host == LAYOUT else ""

    @property
    def scheme(self) -> str:
        """The entry point of the registry of an image elsewhere than in a folder or on a server; "" for those."""
        return self.host[:-1] if self.host.endswith(":") and self.host != LAYOUT else ""

    @property
    def repository(self) -> str:
        """Host and path: everything but the tag and the digest."""
        if self.scheme:
            return f"{self.host}{self.path}"
        return f"{self.host}/{self.path}" if self.host else self.path

    def with_tag(self, tag: str) -> ImageReference:
        return ImageReference(self.host, self.path, tag)

    def with_digest(self, digest: Digest | str) -> ImageReference:
        return ImageReference(self.host, self.path, self.tag, str(digest))

    def __str__(self) -> str:
        return self.repository + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


@dataclass(frozen=True, slots=True)
class Platform:
    """`linux/amd64` or `linux/arm64`."""

    system: str = "linux"
    architecture: str = "amd64"

    @classmethod
    def parse(cls, text: str) -> Platform:
        if text not in ("linux/amd64", "linux/arm64"):
            raise UsageError(f"unsupported platform `{text}`", ["Use linux/amd64 or linux/arm64."])
        system, _, architecture = text.partition("/")
        return cls(system, architecture)

    def __str__(self) -> str:
        return f"{self.system}/{self.architecture}"


@dataclass(frozen=True, slots=True)
class BentoTag:
    """`name:version`; a version of "" asks for the latest."""

    name: str
    version: str = ""

    @classmethod
    def parse(cls, text: str) -> BentoTag:
        name, colon, version = text.partition(":")
        if not _BENTO_NAME.fullmatch(name) or (colon and not _BENTO_VERSION.fullmatch(version)):
            raise UsageError(f"`{text}` is not a bento tag", ["A tag is `name` or `name:version`; see `dynamo list`."])
        return cls(name, "" if version == "latest" else version)

    def __str__(self) -> str:
        return f"{self.name}:{self.version}" if self.version else self.name
