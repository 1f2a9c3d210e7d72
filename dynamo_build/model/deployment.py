"""A graph placed: images by digest, and for each service what any target needs to run it; and the manifests of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dynamo.sdk.graph import Resources

#: The target of a deployment that names none.
DEFAULT_TARGET = "k8s"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretReference:
    """An environment variable whose value is a key of a Secret that the user keeps."""

    variable: str
    secret: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One service as it will run. `calls` are the services it calls; `http` says whether it answers HTTP on 8000.

    `startup` is the budget in seconds for loading a model; `drain` the seconds between the signal and the end.
    """

    service: str
    image: str
    namespace: str
    dynamo: bool = True
    http: bool = False
    entry: bool = False
    replicas: int = 1
    resources: Resources = Resources()
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[SecretReference, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    calls: tuple[str, ...] = ()
    component_type: str = ""
    startup: int = 1800
    drain: int = 60
    overrides: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A graph as a target renders it. `config` is the resolved configuration of all services; `nats` an existing
    address, or "" for a NATS of the deployment's own. `options` are the target's own settings.
    """

    name: str
    namespace: str
    bento: str
    target: str
    entry: str
    workloads: tuple[Workload, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    nats: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One parsed document: the object, and the file name it gets when written to a folder."""

    document: Mapping[str, Any]
    file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifests:
    """All documents of a deployment, in the order in which they are applied."""

    deployment: str
    namespace: str
    target: str
    items: tuple[Manifest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A mistake in a manifest: `where` is `Kind/name`, `path` the field.

    A warning may be right where a cluster has more than the check knows.
    """

    where: str
    path: str
    message: str
    warning: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.path}: {self.message}"
