"""Delivery of images to a registry, a folder or an engine; early uploads of layers while others are still made."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType

from dynamo_build.events import Event, LayerPushed, Listener
from dynamo_build.model.image import BuiltLayer, Destination, Image, ImagePlan, ToEngine, ToFolder, ToRegistry
from dynamo_build.model.reference import LAYOUT, ImageReference
from dynamo_build.oci.layer import Layer
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.registries import docker_engine
from dynamo_build.seams import Surroundings


def deliver_image(
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

    def note_event(event: Event) -> None:
        if isinstance(event, LayerPushed):
            sent.setdefault(event.digest, event.was_sent)
        else:
            on(event)

    match to:
        case ToRegistry():
            first = to.references[0]
            kept = (first.with_tag(kept_as),) if kept_as else ()
            surroundings.registry(first).push(image, (*to.references, *kept), note_event)
            reference = str(first.with_tag("").with_digest(image.digest))
        case ToFolder():
            target = ImageReference(LAYOUT, str(Path(to.folder).absolute())[1:], to.tag)
            surroundings.registry(target).push(image, (target,), note_event)
            reference = str(target)
        case ToEngine():
            address = to.address or docker_engine.find_engine(surroundings.environment)
            reference = docker_engine.load_image(image, to.reference, address, on, surroundings.environment)
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


_AT_ONCE = 2


class EarlyUploads:
    """The layers of one image. To be used in `with`, which drops what did not begin."""

    def __init__(self, plan: ImagePlan, to: Destination, surroundings: Surroundings, on: Listener) -> None:
        # an image that may yet be too large does not leave this machine
        self._references = to.references if isinstance(to, ToRegistry) and not plan.budget else ()
        self._surroundings = surroundings
        self._on = on
        self._sent: dict[str, bool] = {}
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="ahead")
        self._sending: list[Future[None]] = []

    def __enter__(self) -> EarlyUploads:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._pool.shutdown(wait=kind is None, cancel_futures=True)

    def start_upload(self, layer: Layer) -> None:
        """Begin to send a layer; nothing where the image goes elsewhere."""
        if self._references:
            first = self._references[0]
            registry = self._surroundings.registry(first)
            self._sending.append(self._pool.submit(registry.prepare, layer, first, self._note_event))

    def wait_for_uploads(self) -> dict[str, bool]:
        """Wait for all; whether each was sent, or was there already, by digest. Raises RegistryError."""
        for sending in self._sending:
            sending.result()
        return self._sent

    def _note_event(self, event: Event) -> None:
        if isinstance(event, LayerPushed):
            self._sent[event.digest] = event.was_sent
        else:
            self._on(event)
