"""Destinations of images: a registry, a folder, the local engine, or else a layout in the store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dynamo_build.errors import UsageError
from dynamo_build.events import Listener, Noted
from dynamo_build.model.image import ContainerizeOptions, Destination, ToEngine, ToFolder, ToRegistry
from dynamo_build.model.reference import ImageReference
from dynamo_build.registries import docker_engine
from dynamo_build.seams import default_home

#: What turns the use of earlier images off.
NOTHING = "none"


def destination(
    name: str, version: str, service: str, options: ContainerizeOptions, environment: Mapping[str, str], on: Listener
) -> Destination:
    """The destination of one image. `service` is "" for the image of the entry; others get it into their tag.

    Raises UsageError for flags that contradict each other, and for a push without a place.
    """
    if options.push and options.folder:
        raise UsageError("`--push` and `--output-dir` are two destinations", ["Give one of them."])
    references = tuple(_own(reference, service) for reference in _references(name, version, options))
    if options.push:
        if any(reference.folder for reference in references):
            raise UsageError("`--push` is for registries", ["Leave it out to write the folder."])
        return ToRegistry(references=references)
    first = references[0]
    if options.folder:
        return ToFolder(folder=str(Path(options.folder).absolute()), tag=first.tag)
    if first.folder:
        return ToFolder(folder=first.folder, tag=first.tag)
    if first.scheme:
        raise UsageError(f"`{first}` names an image in another registry", ["Add `--push`."])
    address = docker_engine.available(environment)
    if address:
        return ToEngine(reference=first, address=address)
    folder = default_home(environment).absolute() / "images" / name
    on(Noted(text=f"no Docker Engine answers and no destination is given: the image goes to {folder}"))
    return ToFolder(folder=str(folder), tag=first.tag)


def earlier(
    to: Destination, service: str, platform: str, options: ContainerizeOptions
) -> tuple[tuple[ImageReference, ...], str]:
    """Images whose layers may be used again, and the tag under which the next build finds this one ("" for none).

    By default: what the names point to now, and the repository's last image, which a tag per platform marks.
    """
    named = tuple(ImageReference.parse(text) for text in options.cache_from if text != NOTHING)
    if not isinstance(to, ToRegistry):
        return named, ""
    tag = options.cache_to or f"dynamo-cache-{platform.rpartition('/')[2]}"
    last = _own(to.references[0].with_tag(tag), service)
    own = () if NOTHING in options.cache_from else (*to.references, last)
    return (*named, *own), "" if options.cache_to == NOTHING else last.tag


def _references(name: str, version: str, options: ContainerizeOptions) -> tuple[ImageReference, ...]:
    if not options.references:
        if options.push and not options.registry:
            raise UsageError(
                "`--push` needs a destination",
                ["Give `--registry HOST`, or a name with `-t registry.example/team/name:tag`."],
            )
        return (
            ImageReference.parse(f"{options.registry}/{name}:{version}" if options.registry else f"{name}:{version}"),
        )
    found = []
    for text in options.references:
        reference = ImageReference.parse(text)
        if options.registry and not reference.host:
            reference = ImageReference.parse(f"{options.registry}/{text}")
        if options.push and not reference.host:
            raise UsageError(
                f"`{text}` names no registry", ["Give `--registry HOST`, or write the host before the name."]
            )
        if reference.digest:
            raise UsageError(f"`{text}` has a digest", ["An image is named by a tag; its digest is its content's."])
        found.append(reference if reference.tag else reference.with_tag(version))
    if len({reference.repository for reference in found}) > 1:
        raise UsageError("the names given are of several repositories", ["Give names that differ only in their tag."])
    return tuple(found)


def _own(reference: ImageReference, service: str) -> ImageReference:
    suffix = re.sub(r"[^a-z0-9]+", "-", service.lower()).strip("-")
    return replace(reference, tag=f"{reference.tag}-{suffix}"[-128:]) if suffix else reference
