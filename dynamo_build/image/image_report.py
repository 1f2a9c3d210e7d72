"""Reports on an image by layer and by package, made from the image alone.

Source: PyPA specification "Recording installed projects": the files of a package are the lines of its RECORD.
"""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence

from dynamo_build.model.report import ImageReport, LayerReport, Part
from dynamo_build.oci import documents
from dynamo_build.oci.contents import Held, list_contents
from dynamo_build.oci.layer import Layer
from dynamo_build.oci.oci_image import OciImage

#: How history names the layers that were put over a base.
OURS = "dynamo: "
_COMPRESSOR = "dynamo.compressor"
_RECORD = ".dist-info/RECORD"


def count_own_layers(image: OciImage) -> int:
    """How many layers, from the top, were put over the base."""
    history = image.document.get("history")
    entries = [item for item in history if isinstance(item, dict)] if isinstance(history, list) else []
    count = 0
    for entry in reversed([item for item in entries if not item.get("empty_layer")]):
        if not str(entry.get("created_by", "")).startswith(OURS):
            break
        count += 1
    return min(count, len(image.layers))


def build_report(image: OciImage, reference: str, *, read: str = "own") -> ImageReport:
    """The report. `read` says which layers are opened: none, own (those over the base) or all. Raises RegistryError."""
    own = count_own_layers(image)
    below = len(image.layers) - own
    labels, settings = image.labels, image.settings
    layers = [
        _report_layer(layer, name, read=read == "all" or (read == "own" and at >= below))
        for at, (layer, name) in enumerate(zip(image.layers, _name_layers(image, own), strict=True))
    ]
    return ImageReport(
        reference=reference,
        digest=image.digest,
        config_digest=image.config_digest,
        platform=image.platform,
        size=image.size,
        own=sum(layer.size for layer in image.layers[below:]),
        bento=labels.get("dynamo.bento", ""),
        base=labels.get("org.opencontainers.image.base.digest", ""),
        python=_parse_python_version(labels.get("dynamo.python", "")),
        compressor=read_annotations(image).get(_COMPRESSOR, ""),
        bytecode=labels.get("dynamo.bytecode", ""),
        user=str(settings.get("User", "")),
        entrypoint=tuple(map(str, settings.get("Entrypoint") or ())),
        layers=tuple(layers),
    )


def read_annotations(image: OciImage) -> dict[str, str]:
    """The annotations of the image's manifest."""
    found = documents.parse_document(image.manifest, "the manifest").get("annotations")
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _parse_python_version(said: str) -> str:
    try:
        found = json.loads(said)
    except (ValueError, RecursionError):
        return ""
    return str(found.get("version", "")) if isinstance(found, dict) else ""


def _name_layers(image: OciImage, own: int) -> list[str]:
    history = image.document.get("history") or []
    entries = [item for item in history if isinstance(item, dict) and not item.get("empty_layer")]
    said = [str(item.get("created_by", "")) for item in entries][-own:] if own else []
    return ["base"] * (len(image.layers) - own) + [text.removeprefix(OURS) for text in said]


def _report_layer(layer: Layer, name: str, *, read: bool) -> LayerReport:
    found = LayerReport(digest=layer.digest, diff_id=layer.diff_id, size=layer.size, name=name)
    if not read:
        return found
    files = [item for item in list_contents(layer, lambda path: path.endswith(_RECORD)) if item.kind == "file"]
    return LayerReport(
        digest=layer.digest,
        diff_id=layer.diff_id,
        size=layer.size,
        name=name,
        unpacked=sum(item.size for item in files),
        files=len(files),
        parts=tuple(group_by_package(files)),
    )


def group_by_package(files: Sequence[Held]) -> Iterable[Part]:
    """Files summed up by the package whose RECORD lists them, others by folder; the largest first."""
    owners: dict[str, tuple[str, str]] = {}
    for item in files:
        if item.path.endswith(_RECORD):
            owners.update(_parse_record(item))
    sizes: dict[tuple[str, str], list[int]] = defaultdict(list)
    for item in files:
        sizes[owners.get(item.path) or (_choose_folder(item.path), "")].append(item.size)
    found = [
        Part(name=name, version=version, size=sum(each), files=len(each)) for (name, version), each in sizes.items()
    ]
    return sorted(found, key=lambda part: (-part.size, part.name))


def _parse_record(record: Held) -> dict[str, tuple[str, str]]:
    folder, _, info = record.path.removesuffix("/RECORD").rpartition("/")
    name, _, version = info.removesuffix(".dist-info").partition("-")
    found = {}
    for row in csv.reader(io.StringIO(record.content.decode("utf-8", "replace"))):
        if row:
            found[f"{folder}/{row[0]}" if folder else row[0]] = (name.lower().replace("_", "-"), version)
    return found


def _choose_folder(path: str) -> str:
    """The first folders of a path, deeper where everything lies."""
    top = path.split("/")[:-1]
    return "/" + "/".join(top[: 2 if top[:1] in (["app"], ["usr"], ["opt"], ["var"]) else 1])
