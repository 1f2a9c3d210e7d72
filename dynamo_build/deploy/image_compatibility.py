"""Compatibility of images with their nodes: architecture, GPUs, and bases that are not for production.

A base says in the label `dynamo.platform` what compiled code rests on; an image has the labels of its base.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from dynamo_build.errors import DynamoError
from dynamo_build.model.bento import Bento
from dynamo_build.model.deployment import Deployment, Finding, Workload
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci.documents import PlatformMissing
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.seams import Surroundings

PLATFORM = "dynamo.platform"
_CUDA_PACKAGE = re.compile(r"nvidia-cuda-runtime(-cu\d+)?|torch")


def check_images(
    bento: Bento, deployment: Deployment, images: Mapping[str, ImageReference], surroundings: Surroundings
) -> Iterator[Finding]:
    """What does not fit. `images` are those of the services, or the bases that they will be built over.

    An image that cannot be looked at is a warning: all else of a check needs no network.
    """
    chosen = str(deployment.options.get("architecture") or "")
    wanted = [f"linux/{chosen}"] if chosen else list(bento.manifest.platforms)
    seen: dict[tuple[ImageReference, str], OciImage | DynamoError] = {}
    for workload in deployment.workloads:
        reference = images[workload.service]
        for platform in wanted:
            if (reference, platform) not in seen:
                seen[reference, platform] = _pull_image(reference, platform, surroundings)
            elif isinstance(seen[reference, platform], DynamoError):
                continue
            for message, warning in _find_misfits(bento, workload, platform, seen[reference, platform]):
                where = f"service {workload.service}"
                yield Finding(where=where, path=str(reference), message=message, warning=warning)


def _pull_image(reference: ImageReference, platform: str, surroundings: Surroundings) -> OciImage | DynamoError:
    try:
        return surroundings.registry(reference).pull(reference, platform)
    except DynamoError as error:
        return error


def _find_misfits(
    bento: Bento, workload: Workload, platform: str, image: OciImage | DynamoError
) -> Iterator[tuple[str, bool]]:
    if isinstance(image, DynamoError):
        yield f"could not be looked at: {image.message}", not isinstance(image, PlatformMissing)
        return
    if image.platform != platform:
        yield f"is for {image.platform}, and the pods may land on {platform}", False
    said = _read_platform_label(image)
    packages = (package.name for package in bento.manifest.lock.packages.get(platform, ()))
    brings = any(_CUDA_PACKAGE.fullmatch(name) for name in packages)
    if workload.resources.gpu not in ("", "0") and said is not None and "cuda" not in said and not brings:
        yield f"asks for {workload.resources.gpu} GPUs, but neither its base nor its packages have CUDA", True
    if image.labels.get("dynamo.production") == "false":
        yield "stands on a base that is for trying out (label dynamo.production)", True


def _read_platform_label(image: OciImage) -> Mapping[str, Any] | None:
    """None when the base says nothing, so that nothing can be held against it."""
    if PLATFORM not in image.labels:
        return None
    try:
        said = json.loads(image.labels[PLATFORM])
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None
