"""Which base image each service of a bento gets, and why there is none when nobody named one."""

from __future__ import annotations

from collections.abc import Mapping

from dynamo_build.errors import UsageError
from dynamo_build.model.bento import BentoManifest
from dynamo_build.model.image import ContainerizeOptions
from dynamo_build.model.reference import ImageReference

VARIABLE = "DYNAMO_IMAGE"


def bases(
    manifest: BentoManifest, options: ContainerizeOptions, environment: Mapping[str, str]
) -> Mapping[str, ImageReference]:
    """A base for every service: `--base [SERVICE=]REF`, then the service's `image=`, then DYNAMO_IMAGE, then settings.

    Raises UsageError for a service that is not in the graph, and where a service is left without a base.
    """
    names = manifest.graph.names
    given: dict[str, str] = {}
    for text in options.bases:
        service, equals, reference = text.partition("=")
        if not equals:
            service, reference = "", text
        if service and service not in names:
            raise UsageError(f"there is no service `{service}`", [f"The graph has {', '.join(names)}."])
        given[service] = reference
    declared = environment.get(VARIABLE) or options.base or manifest.base
    found = {}
    for spec in manifest.graph.services:
        text = given.get(spec.name) or given.get("") or spec.image or declared
        if not text:
            raise UsageError(
                f"service `{spec.name}` has no base image",
                [
                    f"Name one with `--base REF`, or set {VARIABLE}.",
                    "To try it out, make one from this Python with `python3 container/make_base.py --output base`, "
                    "and give `--base oci:base`.",
                ],
            )
        found[spec.name] = ImageReference.parse(text)
    return found
