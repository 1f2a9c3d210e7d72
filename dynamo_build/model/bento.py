"""The bento: a versioned folder that holds everything an image of a graph is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dynamo.sdk.graph import ServiceGraph
from dynamo_build.model.plan import Lock

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BentoManifest:
    """bento.yaml. `files_digest` is the sha256 of files.sha256; `runtime` the file name of the runtime's wheel;
    `executables` are the paths below src/ that may be run; `dockerfile_template` is the text of the project's own.

    Everything here but `derived` decides the version: two bentos of one version have the same bytes in all of it.
    """

    format: int = FORMAT
    name: str
    version: str
    graph: ServiceGraph
    python: str
    platforms: tuple[str, ...]
    files_digest: str
    files_count: int
    files_size: int
    executables: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    lock: Lock
    runtime: str
    runtime_digest: str
    base: str = ""
    system_packages: tuple[str, ...] = ()
    setup_commands: tuple[str, ...] = ()
    dockerfile_template: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    derived: Mapping[str, str] = field(default_factory=dict)

    @property
    def tag(self) -> str:
        return f"{self.name}:{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bento:
    """A bento on disk: its manifest and the folder that holds it."""

    manifest: BentoManifest
    folder: str

    @property
    def tag(self) -> str:
        return self.manifest.tag
