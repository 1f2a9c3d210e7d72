"""The four seams of the toolchain as Protocols, and `Surroundings`, with which their factories are called.

To add an implementation here: one file beside the others, and one line in `catalog`; the contract suites run over the
catalogue. From another distribution: an entry point whose value is a factory, called with `Surroundings`.

| group | the entry point's name is | Protocol |
|---|---|---|
| `dynamo.lockers` | the value of `dynamo build --locker` | `Locker` |
| `dynamo.builders` | the value of `dynamo containerize --builder` | `ImageBuilder` |
| `dynamo.registries` | the scheme of references, as in `NAME:team/app:1` | `ImageRegistry`, `RegistryContents` |
| `dynamo.targets` | the value of `dynamo deploy --target` | `DeployTarget` |

A reference with a scheme is `NAME:PATH[:TAG][@DIGEST]`, where PATH has at least one `/` and follows the grammar of
registries. The registry gets it as an `ImageReference` whose `scheme` is NAME and whose `path` is PATH. (`NAME:TAG`
without a `/` stays a name with a tag, `NAME:5000/PATH` a host with a port, and `oci:` names folders.)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from dynamo_build.errors import RegistryError

if TYPE_CHECKING:
    from dynamo_build.events import Listener
    from dynamo_build.model.deployment import Deployment, Finding, Manifests
    from dynamo_build.model.image import Destination, Image, ImagePlan
    from dynamo_build.model.plan import Lock, Requirements
    from dynamo_build.model.reference import Digest, ImageReference
    from dynamo_build.oci.layer import Layer, Readable
    from dynamo_build.oci.oci_image import OciImage


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyOptions:
    """How a target applies manifests.

    `force` takes fields that other managers own; `prune` says what happens to objects that the manifests no longer
    have: `objects` removes them, `claims` removes volumes too, `nothing` keeps all; `dry_run` asks the server and
    changes nothing; `wait` is how many seconds to wait until all is ready, 0 for not at all.
    """

    context: str = ""
    kubeconfig: str = ""
    force: bool = False
    prune: Literal["objects", "claims", "nothing"] = "objects"
    dry_run: bool = False
    wait: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The environment, the cache folder and the registries that a factory of the catalogue is called with.

    `applying` is for targets.
    """

    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    cache: Path = field(default_factory=lambda: default_home() / "cache")
    insecure: tuple[str, ...] = ()
    registry: Callable[[ImageReference], Registry] = field(default_factory=lambda: _reject_reference)
    applying: ApplyOptions = ApplyOptions()


def default_home(environment: Mapping[str, str] | None = None) -> Path:
    """`$DYNAMO_HOME`, else `~/.dynamo`."""
    environment = os.environ if environment is None else environment
    return Path(environment.get("DYNAMO_HOME") or Path.home() / ".dynamo")


def _reject_reference(reference: ImageReference) -> Registry:
    raise RegistryError(f"no registry for `{reference}`")


class Locker(Protocol):
    """Turns wanted packages into exact ones."""

    def lock(self, wanted: Requirements, project: Path, on: Listener) -> Lock:
        """Exact packages with hashes for each platform. Raises LockError or ToolMissing."""
        ...


class ImageBuilder(Protocol):
    """Makes an image from a plan."""

    def problems(self, plan: ImagePlan, to: Destination) -> tuple[str, ...]:
        """Why this builder cannot build this plan to this destination; empty when it can.

        Raises ToolMissing when what it builds with is not there.
        """
        ...

    def build(self, plan: ImagePlan, to: Destination, on: Listener) -> Image:
        """Build and deliver. Raises ImageBuildError, RegistryError or ToolMissing."""
        ...


class ImageRegistry(Protocol):
    """A place that holds images: what a registry from outside implements."""

    def resolve(self, reference: ImageReference) -> Digest:
        """The digest behind a reference. Raises RegistryError, with `status=404` when nothing is there."""
        ...

    def pull(self, reference: ImageReference, platform: str) -> OciImage:
        """The image of one platform; layers are fetched when they are opened. Raises RegistryError."""
        ...

    def push(self, image: OciImage, to: tuple[ImageReference, ...], on: Listener) -> Digest:
        """Send what is missing, tags last. All references name one repository. Raises RegistryError."""
        ...


class RegistryContents(Protocol):
    """Optional for a registry from outside: the parts of images, byte for byte.

    Indexes of several platforms, signatures, attached documents and `dynamo image copy` need the first three. The
    fourth saves time only: the default builder calls it for each layer while it still makes others.
    """

    def document(self, reference: ImageReference) -> bytes:
        """The manifest or index behind a reference, byte for byte. Raises RegistryError."""
        ...

    def blob(self, reference: ImageReference, digest: str, size: int) -> Readable:
        """A blob of the reference's repository; the reader verifies it. Raises RegistryError."""
        ...

    def push_index(self, index: bytes, to: tuple[ImageReference, ...], on: Listener) -> Digest:
        """Name an index of images that are there already. Raises RegistryError."""
        ...

    def prepare(self, layer: Layer, to: ImageReference, on: Listener) -> None:
        """Take a layer of an image that will be pushed here, as early as it is worth it. Raises RegistryError."""
        ...


class Registry(ImageRegistry, RegistryContents, Protocol):
    """A registry as the toolchain uses it: one from outside is completed with refusals of what it lacks."""


class DeployTarget(Protocol):
    """Somewhere a graph can run.

    A target that can do more says so by the Protocols below. A command that needs what a target does not have refuses
    it by name. One that pins the architecture of a graph's images in `deployment.options["architecture"]` has a true
    attribute `pins_architecture`.
    """

    def render(self, deployment: Deployment) -> Manifests:
        """The manifests; pure. Raises DeployError for what the target cannot express."""
        ...

    def apply(self, manifests: Manifests, on: Listener) -> str:
        """Make it so, and give the deployment's name. Raises DeployError or ToolMissing."""
        ...


@runtime_checkable
class ChecksManifests(Protocol):
    """A target that finds mistakes in manifests without a cluster."""

    def check(self, manifests: Manifests, *, strict: bool, version: str) -> tuple[Finding, ...]:
        """The mistakes. `strict` adds checks that take long; `version` is the cluster's, "" for all supported.

        Raises UsageError for a version that is not supported.
        """
        ...


@runtime_checkable
class ComparesManifests(Protocol):
    """A target that keeps what was applied, so that manifests can be compared with it."""

    def reach(self) -> None:
        """Return when the place to apply to answers. Raises DeployError or ToolMissing."""
        ...

    def diff(self, manifests: Manifests) -> tuple[str, ...]:
        """One line for each field that an apply would change. Raises DeployError or ToolMissing."""
        ...


@runtime_checkable
class WritesTrees(Protocol):
    """A target whose manifests can be handed over as folders for another tool, such as a Helm chart."""

    @property
    def trees(self) -> tuple[str, ...]:
        """The names of these forms."""
        ...

    def write_tree(self, form: str, manifests: Manifests, deployment: Deployment) -> Mapping[str, str]:
        """Names and texts of the files of one form."""
        ...
