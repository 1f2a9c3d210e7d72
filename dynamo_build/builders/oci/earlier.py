"""Reuse of layers from images pushed earlier, found by their inputs and never downloaded.

An image names the inputs of its layers in the config label `dynamo.layers`. Who may push to the repository may already
replace the image, so its labels are believed there, and only there and where the user says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from dynamo_build.builders.oci import configuration
from dynamo_build.errors import RegistryError
from dynamo_build.events import Listener, Noted
from dynamo_build.model.image import ImagePlan
from dynamo_build.oci import documents
from dynamo_build.oci.compression import Compressor
from dynamo_build.oci.layer import Layer
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.seams import Surroundings

LABEL = "dynamo.layers"


class Earlier:
    """The layers of `plan.earlier` by key. Nothing is asked of a registry before a layer is needed."""

    def __init__(self, plan: ImagePlan, surroundings: Surroundings, compressor: Compressor, on: Listener) -> None:
        self._plan = plan
        self._surroundings = surroundings
        self._compressor = compressor
        self._on = on
        self._left = list(plan.earlier)
        self._found: dict[str, Layer] = {}

    def find_layer(self, key: str, name: str) -> Layer | None:
        """The layer that was made from this key by the same compressor; images are read until one has it."""
        while key not in self._found and self._left:
            reference = self._left.pop(0)
            try:
                image = self._surroundings.registry(reference).pull(reference, self._plan.platform)
            except RegistryError as error:
                if error.status != 404:
                    self._on(Noted(text=f"no layer of {reference} is used again: {error.message}"))
                continue
            self._found = {**index_layers(image, self._compressor), **self._found}
        found = self._found.get(key)
        return replace(found, name=name) if found else None


def index_layers(image: OciImage, compressor: Compressor) -> Mapping[str, Layer]:
    """The layers of an image by the keys that its label names; none where something else compressed them."""
    annotations = documents.parse_document(image.manifest, "the manifest").get("annotations")
    if not isinstance(annotations, dict) or annotations.get(configuration.COMPRESSOR) != compressor.identity:
        return {}
    try:
        said = json.loads(image.labels.get(LABEL, "{}"))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(said, dict):
        return {}
    held = {layer.diff_id: layer for layer in image.layers}
    return {key: held[diff_id] for key, diff_id in said.items() if isinstance(diff_id, str) and diff_id in held}
