"""Build plans: files with digests, wanted and exact packages, platforms, the resolved configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dynamo.sdk.graph import Problem, ServiceGraph

#: Where a bento holds the wheels that no index has.
WHEELS = "env/python/wheels"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """What the settings ask of a build. Patterns are those of gitignore; `base` never comes from `DYNAMO_IMAGE`, and
    `base_packages` (`name==version`) and `base_modules` are what it says that it brings along.

    `requirements` are PEP 508 lines beside those of the project; `allow_secrets` patterns of paths that may hold what
    looks like a secret; `budget` the bytes that the files may have in all (0: no limit);
    `dockerfile_template` a file of the project that extends blocks of the Dockerfile's template; `locker` names
    the implementation that locks packages when dynamo.lock does not fit.
    """

    name: str = ""
    version: str = ""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    python: str = ""
    platforms: tuple[str, ...] = ("linux/amd64",)
    requirements: tuple[str, ...] = ()
    allow_secrets: tuple[str, ...] = ()
    runtime_only: tuple[str, ...] = ()
    base: str = ""
    base_packages: tuple[str, ...] = ()
    base_modules: tuple[str, ...] = ()
    system_packages: tuple[str, ...] = ()
    setup_commands: tuple[str, ...] = ()
    dockerfile_template: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    budget: int = 0
    warn_size: int = 64 << 20
    timeout: float = 60.0
    config_file: str = ""
    arguments: tuple[str, ...] = ()
    strict: bool = False
    upgrade: bool = False
    locked: bool = False
    locker: str = "uv"
    offline: bool = False
    rehash: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFile:
    """A file of the project: POSIX path relative to it, size in bytes, whether it is executable.

    `digest` is its hexadecimal digest where its stamp says that it did not change since it was last read, else "".
    """

    path: str
    size: int
    executable: bool = False
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPackage:
    """A package that lies in a folder or is a wheel: its name, the path as written, the digest of what is there."""

    name: str
    path: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """What the project asks for: PEP 508 lines, where they were read, and the lock that lies beside it ("" if none).

    `constraints` are the exact versions of a lock of another tool and of the declared base; they say which version,
    not that it is wanted. `base` is that base by its digest, `wheels` the folders in which a locker finds the wheels
    of `local` packages.
    """

    lines: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    lock: str = ""
    base: str = ""
    local: tuple[LocalPackage, ...] = ()
    wheels: tuple[str, ...] = ()
    python: str = "3.11"
    platforms: tuple[str, ...] = ("linux/amd64",)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedPackage:
    """One exact package. `hashes` are `sha256:…`, all of the files that would do.

    `source` is the commit that it comes from, `wheel` the file of the bento that it is installed from, "" for an index.
    """

    name: str
    version: str
    hashes: tuple[str, ...] = ()
    marker: str = ""
    source: str = ""
    wheel: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """Exact packages per platform, in the order of their normalised names (PEP 503)."""

    python: str
    packages: Mapping[str, tuple[LockedPackage, ...]] = field(default_factory=dict)
    written: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlan:
    """Everything `pack` needs but the lock. `project` is the folder; `config` maps a service to its resolved keys;
    `ruling` are the digests of the rules under which the files hold no secret, and import nothing that is missing.
    """

    project: str
    name: str
    graph: ServiceGraph
    files: tuple[PlannedFile, ...]
    requirements: Requirements
    config: Mapping[str, Any] = field(default_factory=dict)
    base: str = ""
    system_packages: tuple[str, ...] = ()
    setup_commands: tuple[str, ...] = ()
    dockerfile_template: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()
    version: str = ""
    ruling: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)
