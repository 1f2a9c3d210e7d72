"""Images of several platforms under one name: an index that lists them.

Source: OCI image spec, "Image Index".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dynamo.sdk import codec
from dynamo_build.errors import UsageError
from dynamo_build.events import Listener
from dynamo_build.model.image import Destination, Image, ToEngine, ToFolder, ToRegistry
from dynamo_build.model.reference import LAYOUT, ImageReference
from dynamo_build.oci import documents
from dynamo_build.seams import Surroundings


def derive_destination(to: Destination, platform: str) -> Destination:
    """Where the image of one platform goes: into the repository by digest alone, into a folder under a tag of its own.

    Raises UsageError for an engine, which holds one platform under a name.
    """
    match to:
        case ToRegistry():
            return ToRegistry(references=(to.references[0].with_tag(""),))
        case ToFolder():
            return replace(to, tag=f"{to.tag}-{platform.rpartition('/')[2]}")
        case ToEngine():
            raise UsageError(
                "an engine holds one platform under a name", ["Give one `--platform`, or `--push`, or `--output-dir`."]
            )


def join_images(images: Sequence[Image], to: Destination, surroundings: Surroundings, on: Listener) -> Image:
    """Write the index of these images where they were sent, under the names that were asked for."""
    if isinstance(to, ToRegistry):
        names = to.references
    else:
        assert isinstance(to, ToFolder)
        names = (ImageReference(LAYOUT, to.folder.lstrip("/"), to.tag),)
    registry = surroundings.registry(names[0])
    entries = []
    for image in images:
        found = registry.pull(replace(names[0], tag="", digest=image.digest), image.platform)
        system, _, architecture = image.platform.partition("/")
        entries.append(
            {
                "mediaType": found.media_type,
                "digest": image.digest,
                "size": len(found.manifest),
                "platform": {"os": system, "architecture": architecture},
            }
        )
    index = codec.encode_canonical({"schemaVersion": 2, "mediaType": documents.INDEX, "manifests": entries})
    digest = str(registry.push_index(index, names, on))
    first = images[0]
    return replace(
        first,
        reference=str(
            names[0] if isinstance(to, ToFolder) else ImageReference(names[0].host, names[0].path, "", digest)
        ),
        digest=digest,
        config_digest="",
        platform=",".join(image.platform for image in images),
        size=sum(image.size for image in images),
        layers=tuple(layer for image in images for layer in image.layers),
    )
