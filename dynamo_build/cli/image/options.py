"""What the commands of `dynamo image` share: their options, and the image that is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dynamo_build.model.reference import ImageReference
    from dynamo_build.oci.image import OciImage
    from dynamo_build.seams import Surroundings

Reference = Annotated[str, typer.Argument(metavar="REF", help="HOST/PATH[:TAG][@DIGEST], or oci:FOLDER[:TAG].")]
Insecure = Annotated[
    list[str] | None, typer.Option(metavar="HOST", help="Allow plain HTTP to a registry that is not on loopback.")
]
ForPlatform = Annotated[str, typer.Option("--platform", metavar="OS/ARCH", help="Which image of an index.")]


def pulled(reference: str, platform: str, insecure: list[str] | None) -> tuple[Surroundings, ImageReference, OciImage]:
    """Where images come from, the reference with its digest, and the image. Raises RegistryError."""
    from dynamo_build import catalog
    from dynamo_build.model.reference import ImageReference
    from dynamo_build.pipeline.containerize import own_platform

    named = ImageReference.parse(reference)
    around = catalog.surroundings(insecure=tuple(insecure or ()))
    registry = around.registry(named)
    image = registry.pull(named, platform or own_platform())
    return around, named.with_digest(image.digest), image
