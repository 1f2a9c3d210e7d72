"""The verb `containerize`: plan the images of a bento, choose a builder, build and deliver."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import replace

from dynamo_build import catalog
from dynamo_build.bento.verify import check_digests
from dynamo_build.builders import secrets as build_secrets
from dynamo_build.errors import ImageBuildError, ToolMissing, UsageError
from dynamo_build.events import Listener, Noted, ignore
from dynamo_build.image.destination import choose_cache_sources, choose_destination
from dynamo_build.image.index import derive_destination, join_images
from dynamo_build.image.plan_image import group_images, plan_image, resolve_bases
from dynamo_build.model.bento import Bento
from dynamo_build.model.image import (
    ContainerizeOptions,
    Destination,
    Image,
    ImagePlan,
    ToEngine,
    ToFolder,
    ToRegistry,
)
from dynamo_build.model.reference import LAYOUT, ImageReference, Platform
from dynamo_build.packages.base_labels import list_provided_packages
from dynamo_build.registries.partial import PartialRegistry
from dynamo_build.seams import ImageBuilder, Surroundings

#: The builder that chooses one, and the order in which it asks them.
AUTO = "auto"
ORDER = ("oci", "docker", "buildah", "podman")
Planned = tuple[ImagePlan, Destination]


def containerize(
    bento: Bento, options: ContainerizeOptions, surroundings: Surroundings | None = None, on: Listener = ignore
) -> tuple[Image, ...]:
    """Build the images of a bento and deliver them, that of the entry first.

    Raises UsageError, StoreError, ImageBuildError, RegistryError or ToolMissing.
    """
    surroundings = surroundings or catalog.default_surroundings()
    given = tuple(build_secrets.parse_secret(one, surroundings.environment) for one in options.secrets)
    mask = build_secrets.Mask(given, surroundings.environment)
    with mask.mask_errors():
        return _build_images(bento, options, surroundings, mask.mask_events(on))


def _build_images(
    bento: Bento, options: ContainerizeOptions, surroundings: Surroundings, on: Listener
) -> tuple[Image, ...]:
    builder = None if options.builder == AUTO else catalog.find_builder(options.builder, surroundings)
    planned = plan_images(bento, options, surroundings, on)
    if builder is None:
        builder = choose_builder(planned, surroundings, on)
    elif found := _list_problems(builder, planned):
        raise ImageBuildError(
            f"the builder `{options.builder}` cannot build this image: {'; '.join(found)}",
            ["Choose another `--builder`, or another destination."],
        )
    _require_contents(planned, options, surroundings)
    check_digests(bento, surroundings.cache)
    built = []
    for _, items in itertools.groupby(planned, key=lambda item: item[0].services):
        several = list(items)
        if len(several) == 1:
            built.append(builder.build(*several[0], on))
            if options.attest:
                attach_attestations(built[-1], *several[0], surroundings, on)
            continue
        parts = [(plan_, derive_destination(to, plan_.platform)) for plan_, to in several]
        made = [builder.build(*each, on) for each in parts]
        built.append(join_images(made, several[0][1], surroundings, on))
        for image, (plan_, _) in zip(made if options.attest else (), several, strict=False):
            attach_attestations(image, plan_, several[0][1], surroundings, on)
    return tuple(built)


def _require_contents(planned: Sequence[Planned], options: ContainerizeOptions, surroundings: Surroundings) -> None:
    """Refuse a registry from outside that lacks what is called last, before an image is built. Raises RegistryError."""
    several = len({plan_.platform for plan_, _ in planned}) > 1
    for _, to in planned:
        registry = surroundings.registry(to.references[0]) if isinstance(to, ToRegistry) else None
        if isinstance(registry, PartialRegistry) and (several or options.attest):
            registry.require(*(("document", "push_index") if options.attest else ("push_index",)))


def attach_attestations(
    image: Image, plan_: ImagePlan, to: Destination, surroundings: Surroundings, on: Listener
) -> None:
    """Put what the image consists of and how it was made beside it. Raises UsageError for an engine, RegistryError."""
    from dynamo_build.image import attestations, image_report, referrers

    match to:
        case ToRegistry():
            subject = to.references[0].with_tag("").with_digest(image.digest)
        case ToFolder():
            subject = ImageReference(LAYOUT, to.folder.lstrip("/"), to.tag, image.digest)
        case ToEngine():
            raise UsageError("a Docker Engine cannot store documents of an image", ["Give `--push` or `--output-dir`."])
    registry = surroundings.registry(subject)
    found = registry.pull(subject, plan_.platform)
    said = attestations.add_planned_packages(plan_, image_report.build_report(found, str(subject), read="none"))
    kind, bill = attestations.build_image_sbom("cyclonedx", found, said)
    referrers.attach_document(subject, attestations.encode_document(bill), kind, "sbom", registry, on)
    made = attestations.encode_document(attestations.build_provenance(found, said))
    referrers.attach_document(subject, made, attestations.IN_TOTO, "att", registry, on)


def choose_builder(planned: Sequence[Planned], surroundings: Surroundings, on: Listener) -> ImageBuilder:
    """The first builder that can build all of it, with a word on why. Raises ImageBuildError when none can."""
    refused: list[str] = []
    for name in ORDER:
        builder = catalog.find_builder(name, surroundings)
        try:
            found = _list_problems(builder, planned)
        except ToolMissing as error:
            found = [error.message]
        if not found:
            why = f", since {'; '.join(refused)}" if refused else ": this plan needs neither a daemon nor root"
            on(Noted(text=f"building with `{name}`{why}"))
            return builder
        refused.append(f"`{name}` cannot: {', '.join(found)}")
    raise ImageBuildError(
        f"no builder can build this image: {'; '.join(refused)}",
        ["See `dynamo doctor` for what each builder needs, and `--builder` to name one."],
    )


def _list_problems(builder: ImageBuilder, planned: Sequence[Planned]) -> list[str]:
    return list(dict.fromkeys(problem for plan_, to in planned for problem in builder.problems(plan_, to)))


def plan_images(
    bento: Bento, options: ContainerizeOptions, surroundings: Surroundings | None = None, on: Listener = ignore
) -> tuple[tuple[ImagePlan, Destination], ...]:
    """What `containerize` would build, and where to; bases are looked up, nothing is written. Raises as it does."""
    surroundings = surroundings or catalog.default_surroundings()
    manifest = bento.manifest
    platforms = _select_platforms(options.platform, manifest.platforms)
    secrets = tuple(build_secrets.parse_secret(one, surroundings.environment) for one in options.secrets)
    wanted = resolve_bases(manifest, options, surroundings.environment)
    found = []
    for base, services in group_images(bento, wanted):
        own = "" if manifest.graph.entry in services else services[0]
        to = choose_destination(manifest.name, manifest.version, own, options, surroundings.environment, on)
        registry = surroundings.registry(base)
        exact = base.with_digest(registry.resolve(base))
        for platform in platforms:
            given = list_provided_packages(registry.pull(exact, platform).labels)
            planned = plan_image(bento, exact, platform, services, given, override=options.override)
            images, kept_as = choose_cache_sources(to, own, platform, options)
            planned = replace(
                planned,
                bytecode=options.bytecode,
                compression=options.compression,
                earlier=images,
                kept_as=kept_as,
                jobs=options.jobs,
                budget=options.budget,
                secrets=secrets,
            )
            found.append((planned, to))
    return tuple(found)


def _select_platforms(asked: str, locked: tuple[str, ...]) -> tuple[str, ...]:
    if asked:
        return tuple(dict.fromkeys(str(Platform.parse(one.strip())) for one in asked.split(",")))
    return (detect_platform() if detect_platform() in locked else locked[0],)


def detect_platform() -> str:
    """The platform of this machine, in the words of images."""
    return {"aarch64": "linux/arm64", "arm64": "linux/arm64"}.get(os.uname().machine, "linux/amd64")
