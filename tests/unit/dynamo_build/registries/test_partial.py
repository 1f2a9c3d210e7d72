"""Registries from outside that implement a part of the seam."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from dynamo_build.errors import RegistryError
from dynamo_build.events import ignore
from dynamo_build.model.reference import ImageReference
from dynamo_build.registries.folder import FolderRegistry
from dynamo_build.registries.partial import PartialRegistry
from dynamo_build.seams import Surroundings
from support import handmade


def test_what_is_there_is_passed_on(tmp_path: Path) -> None:
    """All methods of a whole registry."""
    inner = FolderRegistry(Surroundings(environment={}, cache=tmp_path))
    registry = PartialRegistry("whole", inner)
    to = ImageReference.parse(f"oci:{tmp_path}/images:1")
    image = handmade.image()
    registry.prepare(image.layers[0], to, ignore)
    digest = registry.push(image, (to,), ignore)
    assert registry.resolve(to) == digest
    assert registry.pull(to, "linux/amd64").digest == str(digest)
    assert registry.document(to) == image.manifest
    layer = image.layers[0]
    assert registry.blob(to, layer.digest, layer.size).read() == layer.open().read()


def test_what_is_lacking_is_refused_by_its_name() -> None:
    """Layers that cannot be sent early are no failure."""
    registry, to = PartialRegistry("tiny", cast(Any, object())), ImageReference.parse("tiny:team/app:1")
    registry.prepare(handmade.image().layers[0], to, ignore)
    for name, arguments in {"document": (to,), "blob": (to, "sha256:0", 1), "push_index": (b"", (to,), ignore)}.items():
        with pytest.raises(RegistryError, match=f"the registry `tiny` has no `{name}`"):
            getattr(registry, name)(*arguments)
