"""Layers that took time to make go to the registry while others are still being made."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from dynamo_build.events import Event, LayerPushed, Listener
from dynamo_build.model.image import Destination, ImagePlan, ToRegistry
from dynamo_build.oci.layer import Layer
from dynamo_build.seams import Surroundings

_AT_ONCE = 2


class Ahead:
    """The layers of one image. To be used in `with`, which drops what did not begin."""

    def __init__(self, plan: ImagePlan, to: Destination, surroundings: Surroundings, on: Listener) -> None:
        # an image that may yet be too large does not leave this machine
        self._references = to.references if isinstance(to, ToRegistry) and not plan.budget else ()
        self._surroundings = surroundings
        self._on = on
        self._sent: dict[str, bool] = {}
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="ahead")
        self._sending: list[Future[None]] = []

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._pool.shutdown(wait=kind is None, cancel_futures=True)

    def send(self, layer: Layer) -> None:
        """Begin to send a layer; nothing where the image goes elsewhere."""
        if self._references:
            first = self._references[0]
            registry = self._surroundings.registry(first)
            self._sending.append(self._pool.submit(registry.prepare, layer, first, self._heard))

    def sent(self) -> dict[str, bool]:
        """Wait for all; whether each was sent, or was there already, by digest. Raises RegistryError."""
        for sending in self._sending:
            sending.result()
        return self._sent

    def _heard(self, event: Event) -> None:
        if isinstance(event, LayerPushed):
            self._sent[event.digest] = event.sent
        else:
            self._on(event)
