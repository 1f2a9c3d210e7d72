"""A finished image brought where it is wanted: a registry, a folder or an engine; the same for every builder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from dynamo_build.events import Event, LayerPushed, Listener
from dynamo_build.model.image import BuiltLayer, Destination, Image, ImagePlan, ToEngine, ToFolder, ToRegistry
from dynamo_build.model.reference import LAYOUT, ImageReference
from dynamo_build.oci.image import OciImage
from dynamo_build.registries import docker_engine
from dynamo_build.seams import Surroundings


def deliver(
    image: OciImage,
    plan: ImagePlan,
    to: Destination,
    surroundings: Surroundings,
    on: Listener,
    *,
    builder: str,
    kept_as: str = "",
    ahead: Mapping[str, bool] = MappingProxyType({}),
) -> Image:
    """Deliver, and report which layers had to be sent. `kept_as` is one more tag in a registry, or "".

    `ahead` says of the layers that were pushed before the image was complete whether they were sent, by digest.

    Raises RegistryError or ToolMissing.
    """
    sent = dict(ahead)

    def heard(event: Event) -> None:
        if isinstance(event, LayerPushed):
            sent.setdefault(event.digest, event.sent)
        else:
            on(event)

    match to:
        case ToRegistry():
            first = to.references[0]
            kept = (first.with_tag(kept_as),) if kept_as else ()
            surroundings.registry(first).push(image, (*to.references, *kept), heard)
            reference = str(first.with_tag("").with_digest(image.digest))
        case ToFolder():
            target = ImageReference(LAYOUT, str(Path(to.folder).absolute())[1:], to.tag)
            surroundings.registry(target).push(image, (target,), heard)
            reference = str(target)
        case ToEngine():
            address = to.address or docker_engine.available(surroundings.environment)
            reference = docker_engine.load(image, to.reference, address, on, surroundings.environment)
    return Image(
        reference=reference,
        digest=image.digest,
        config_digest=image.config_digest,
        platform=plan.platform,
        size=image.size,
        layers=tuple(
            BuiltLayer(
                digest=layer.digest,
                diff_id=layer.diff_id,
                size=layer.size,
                name=layer.name or "base",
                sent=sent.get(layer.digest, True),
            )
            for layer in image.layers
        ),
        base=str(plan.base),
        services=plan.services,
        builder=builder,
    )
