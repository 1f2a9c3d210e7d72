"""The verbs of `dynamo image`: inspect, measure, compare, copy, rebase, describe and sign images in registries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dynamo_build import catalog
from dynamo_build.errors import ImageBuildError
from dynamo_build.events import Listener, ignore
from dynamo_build.image import attestations, copy, image_diff, image_report, rebase, referrers, signatures
from dynamo_build.model.reference import ImageReference
from dynamo_build.model.report import ImageDiff, ImageReport
from dynamo_build.oci.budget import explain_excess
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.pipeline.containerize import detect_platform
from dynamo_build.seams import Registry, Surroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledImage:
    """An image, its reference with the digest, and the registry that it came from."""

    reference: ImageReference
    image: OciImage
    registry: Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiedImage:
    """Where an image was put: the reference, exact but for a folder's, and the digest."""

    reference: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RebaseOptions:
    """References of the new base, of the new image, and of the base until now ("": it is not known).

    `force` also rebases where Python, glibc, CUDA or packages differ.
    """

    base: str
    target: str
    old_base: str = ""
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A document about an image: its content, and its media type and the suffix of its tag when it is attached."""

    image: PulledImage
    content: Mapping[str, object]
    kind: str
    suffix: str


def pull_image(reference: str, platform: str = "", surroundings: Surroundings | None = None) -> PulledImage:
    """The image of one platform, by default this machine's; layers are fetched when they are read.

    Raises UsageError or RegistryError.
    """
    surroundings = surroundings or catalog.default_surroundings()
    parsed = ImageReference.parse(reference)
    registry = surroundings.registry(parsed)
    image = registry.pull(parsed, platform or detect_platform())
    return PulledImage(reference=parsed.with_digest(image.digest), image=image, registry=registry)


def inspect_image(reference: str, platform: str = "", surroundings: Surroundings | None = None) -> ImageReport:
    """The settings, layers and attached documents of an image; no layer is fetched. Raises RegistryError."""
    pulled = pull_image(reference, platform, surroundings)
    documents = referrers.list_documents(pulled.reference, pulled.registry)
    found = image_report.build_report(pulled.image, str(pulled.reference), read="none")
    return replace(found, documents=documents)


def measure_image(
    reference: str, platform: str = "", surroundings: Surroundings | None = None, *, every: bool = False
) -> ImageReport:
    """The sizes of layers and packages; with `every` those of the base too. Raises UsageError or RegistryError."""
    pulled = pull_image(reference, platform, surroundings)
    return image_report.build_report(pulled.image, str(pulled.reference), read="all" if every else "own")


def check_budget(measured: ImageReport, budget: int) -> None:
    """Raise ImageBuildError when the image has more bytes than the budget; 0 is no limit."""
    sizes = [(layer.name, layer.size) for layer in measured.layers]
    if budget and (excess := explain_excess(budget, measured.size, sizes)):
        raise ImageBuildError(*excess)


def compare_images(before: PulledImage, after: PulledImage) -> ImageDiff:
    """What differs between two images, and what a pull of the second transfers. Raises RegistryError."""
    return image_diff.diff_images(before.image, after.image, (str(before.reference), str(after.reference)))


def copy_image(
    source: str, target: str, surroundings: Surroundings | None = None, on: Listener = ignore
) -> CopiedImage:
    """Copy an image with all its platforms, signatures and documents. Raises UsageError or RegistryError."""
    to = ImageReference.parse(target)
    digest = copy.copy_image(ImageReference.parse(source), to, surroundings or catalog.default_surroundings(), on)
    return CopiedImage(reference=_exact_reference(to, digest), digest=digest)


def rebase_image(
    reference: str,
    options: RebaseOptions,
    platform: str = "",
    surroundings: Surroundings | None = None,
    on: Listener = ignore,
) -> CopiedImage:
    """Put an image over another base and push it. Raises UsageError, ImageBuildError or RegistryError."""
    surroundings = surroundings or catalog.default_surroundings()
    image = pull_image(reference, platform, surroundings).image
    base = pull_image(options.base, image.platform, surroundings)
    old_base = pull_image(options.old_base, image.platform, surroundings).image if options.old_base else None
    to = ImageReference.parse(options.target)
    rebased = rebase.rebase_image(image, base.image, base.reference, old_base, force=options.force)
    surroundings.registry(to).push(rebased, (to,), on)
    return CopiedImage(reference=_exact_reference(to, rebased.digest), digest=rebased.digest)


def describe_materials(
    reference: str, form: str, platform: str = "", surroundings: Surroundings | None = None
) -> Described:
    """The bill of materials of an image, as `cyclonedx` or `spdx`. Raises UsageError or RegistryError."""
    pulled = pull_image(reference, platform, surroundings)
    kind, content = attestations.build_image_sbom(
        form, pulled.image, image_report.build_report(pulled.image, str(pulled.reference))
    )
    return Described(image=pulled, content=content, kind=kind, suffix="sbom" if form == "cyclonedx" else "spdx")


def describe_provenance(reference: str, platform: str = "", surroundings: Surroundings | None = None) -> Described:
    """How an image was made, as a SLSA statement. Raises UsageError or RegistryError."""
    pulled = pull_image(reference, platform, surroundings)
    content = attestations.build_provenance(
        pulled.image, image_report.build_report(pulled.image, str(pulled.reference))
    )
    return Described(image=pulled, content=content, kind=attestations.IN_TOTO, suffix="att")


def attach_document(document: Described, on: Listener = ignore) -> str:
    """Put a document beside its image, as an OCI referrer. Gives the document's reference. Raises RegistryError."""
    pulled = document.image
    subject = pulled.reference.with_digest(pulled.image.digest)
    written = attestations.encode_document(document.content)
    return referrers.attach_document(subject, written, document.kind, document.suffix, pulled.registry, on)


def sign_image(
    reference: str, key: Path, password: str = "", surroundings: Surroundings | None = None
) -> tuple[str, str]:
    """Sign an image; gives its digest and the signature's reference. Raises UsageError or RegistryError."""
    parsed = ImageReference.parse(reference)
    registry = (surroundings or catalog.default_surroundings()).registry(parsed)
    return signatures.sign_image(parsed, key, registry, password)


def verify_image(reference: str, key: Path, surroundings: Surroundings | None = None) -> CopiedImage:
    """The exact reference of an image signed by the owner of this key. Raises UsageError or RegistryError."""
    parsed = ImageReference.parse(reference)
    registry = (surroundings or catalog.default_surroundings()).registry(parsed)
    digest = signatures.verify_image(parsed, key, registry)
    return CopiedImage(reference=_exact_reference(parsed, digest), digest=digest)


def _exact_reference(reference: ImageReference, digest: str) -> str:
    return str(reference if reference.folder else reference.with_digest(digest))
