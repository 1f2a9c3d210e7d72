"""Images as plans and as results, and their destinations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dynamo_build.model.plan import LockedPackage
from dynamo_build.model.reference import ImageReference

#: Where things lie inside an image; the worker and the Dockerfile rest on the same names.
APPLICATION = "/app"
PACKAGES = "/app/packages"
RUNTIME = "/app/runtime"
SOURCE = "/app/src"
CONFIGURATION = "/app/bento"
USER = "10001:0"

#: Asks a worker's own port, or the port of the entry where one container runs the whole graph. The opener is its own,
#: since `urlopen` would go through a proxy that the environment names.
_HEALTH_SCRIPT = """
import os, sys, urllib.error, urllib.request
ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
for port in (os.environ.get("DYNAMO_SYSTEM_PORT", "9090"), os.environ.get("DYNAMO_PORT", "8000")):
    try:
        sys.exit(ask(f"http://127.0.0.1:{port}/live", timeout=2).status != 200)
    except urllib.error.HTTPError as error:
        sys.exit(f"port {port} answers {error.code}")
    except OSError:
        pass
sys.exit("no port answers")
""".strip()
HEALTH = ("python", "-I", "-S", "-c", _HEALTH_SCRIPT)
#: Seconds. A model may take half an hour to load; until then a failing check does not count.
HEALTH_INTERVAL, HEALTH_TIMEOUT, HEALTH_START, HEALTH_RETRIES = 15, 5, 1800, 3
#: The same as the Docker image spec 1.2 has it in a config, in nanoseconds; engines follow it in OCI configs too.
HEALTHCHECK: Mapping[str, Any] = {
    "Test": ["CMD", *HEALTH],
    "Interval": HEALTH_INTERVAL * 10**9,
    "Timeout": HEALTH_TIMEOUT * 10**9,
    "StartPeriod": HEALTH_START * 10**9,
    "Retries": HEALTH_RETRIES,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagesLayer:
    """Locked packages installed below `/app/packages` for one Python and platform.

    `wheels` are the names of those that the bento itself holds, below WHEELS.
    """

    packages: tuple[LockedPackage, ...]
    requirements: str
    python: str
    platform: str
    wheels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelLayer:
    """A pure wheel unpacked below `target`."""

    wheel: str
    target: str = RUNTIME


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesLayer:
    """Files of a folder copied below `target`; `paths` are relative to `folder`. `name` is for reports."""

    name: str
    folder: str
    paths: tuple[str, ...]
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemPackages:
    """Debian packages, installed by a command in the image."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupCommand:
    """A shell command run in the image."""

    command: str


PlannedLayer = PackagesLayer | WheelLayer | FilesLayer | SystemPackages | SetupCommand


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSecret:
    """A secret that commands of a build may read: from a file or a variable. It is never a part of the image."""

    id: str
    path: str = ""
    variable: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlan:
    """An image as a list of layers over a base, ordered by how rarely they change. Knows nothing of Dockerfiles.

    `services` are the services that this image serves; `bento` is the folder of the bento it is made from. The last
    five are for builders that make layers themselves: `bytecode` is auto, none or require, `earlier` are images whose
    layers may be used again, `kept_as` the tag under which the next build finds this one, `jobs` 0 for all cores.
    `budget` are the bytes that the image may have, 0 for any; `secrets` decide nothing of it.
    """

    name: str
    version: str
    bento: str
    services: tuple[str, ...]
    base: ImageReference
    platform: str = "linux/amd64"
    layers: tuple[PlannedLayer, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ("python", "-m", "dynamo.worker")
    command: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    user: str = USER
    working_directory: str = APPLICATION
    ports: tuple[int, ...] = (8000, 9090)
    template: str = ""
    bytecode: str = "auto"
    compression: str = "gzip"
    earlier: tuple[ImageReference, ...] = ()
    kept_as: str = ""
    jobs: int = 0
    budget: int = 0
    secrets: tuple[BuildSecret, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToRegistry:
    """Push under these references (one repository, one or more tags)."""

    references: tuple[ImageReference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToEngine:
    """Put into the local Docker Engine under this reference."""

    reference: ImageReference
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToFolder:
    """Write an OCI image layout. `tag` is the `org.opencontainers.image.ref.name` of its index entry."""

    folder: str
    tag: str = "latest"


Destination = ToRegistry | ToEngine | ToFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerizeOptions:
    """What is asked of images. `bases` are `REF` or `SERVICE=REF`, `base` what the project's settings declare.

    `references` name the image; `registry` is the host for those without one. Without `push` and `folder` the image
    goes into the local engine when one answers, else into a layout in the store. `platform` may be several, with
    commas between them. `cache_from` are images whose layers may be used again beside the repository's last one
    ("none": not even that), `cache_to` the tag that marks the last one ("none": no tag). `attest` puts a bill of
    materials and a provenance statement beside the image. `secrets` are `id=NAME,src=FILE` or `id=NAME,env=VARIABLE`.
    """

    bases: tuple[str, ...] = ()
    base: str = ""
    builder: str = "oci"
    platform: str = ""
    references: tuple[str, ...] = ()
    registry: str = ""
    push: bool = False
    folder: str = ""
    bytecode: str = "auto"
    compression: str = "gzip"
    cache_from: tuple[str, ...] = ()
    cache_to: str = ""
    override: bool = False
    jobs: int = 0
    budget: int = 0
    attest: bool = False
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltLayer:
    """A layer as shipped: digest of the blob, digest of the tar (diff id), bytes of the blob, what it holds."""

    digest: str
    diff_id: str
    size: int
    name: str = ""
    sent: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A built image. `reference` is how to run it: by digest in a registry, by id in an engine, by path in a folder."""

    reference: str
    digest: str
    config_digest: str
    platform: str
    size: int
    layers: tuple[BuiltLayer, ...] = ()
    base: str = ""
    services: tuple[str, ...] = ()
    builder: str = ""
