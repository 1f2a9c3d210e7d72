"""The difference of two images: settings, layers, packages and files, and the bytes that a pull moves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dynamo.sdk import codec
from dynamo_build.image.image_report import count_own_layers, group_by_package
from dynamo_build.model.report import Change, ImageDiff
from dynamo_build.oci.contents import Held, list_contents
from dynamo_build.oci.layer import Layer
from dynamo_build.oci.oci_image import OciImage

#: Labels that name inputs; what they name is compared itself.
_DERIVED = ("dynamo.layers",)


def diff_images(before: OciImage, after: OciImage, names: tuple[str, str]) -> ImageDiff:
    """All differences. Only layers that one of them lacks are read, and none of a base. Raises RegistryError."""
    had, has = {layer.digest for layer in before.layers}, {layer.digest for layer in after.layers}
    changes = [
        *_list_changes("setting", _flatten_settings(before), _flatten_settings(after)),
        *_list_changes("base", _list_base_layers(before), _list_base_layers(after)),
    ]
    one, other = _select_own_layers(before, has), _select_own_layers(after, had)
    files = tuple({item.path: item for layer in layers for item in _list_files(layer)} for layers in (one, other))
    packages = tuple(
        {part.name: part.version for part in group_by_package(list(each.values())) if part.version} for each in files
    )
    changes += _list_changes("package", *packages)
    changes += _list_changes("file", *({path: _describe_file(item) for path, item in each.items()} for each in files))
    return ImageDiff(
        before=names[0],
        after=names[1],
        moved=sum(layer.size for layer in after.layers if layer.digest not in had),
        shared=sum(layer.size for layer in after.layers if layer.digest in had),
        changes=tuple(changes),
    )


def _select_own_layers(image: OciImage, others: set[str]) -> list[Layer]:
    own = count_own_layers(image)
    return [layer for layer in image.layers[len(image.layers) - own :] if layer.digest not in others]


def _list_files(layer: Layer) -> Iterator[Held]:
    wanted = list_contents(layer, lambda path: path.endswith(".dist-info/RECORD"), digests=True)
    return (item for item in wanted if item.kind != "folder")


def _describe_file(item: Held) -> str:
    if item.kind != "file":
        return item.kind
    return f"{item.digest[:12]}{' executable' if item.executable else ''}"


def _flatten_settings(image: OciImage) -> dict[str, str]:
    found: dict[str, str] = {"platform": image.platform}
    for name, value in image.settings.items():
        if name == "Env":
            pairs = (str(item).partition("=") for item in value or ())
            found |= {f"Env.{key}": text for key, _, text in pairs}
        elif isinstance(value, Mapping):
            found |= {f"{name}.{key}": _format_value(item) for key, item in value.items() if key not in _DERIVED}
        else:
            found[name] = _format_value(value)
    return found


def _list_base_layers(image: OciImage) -> dict[str, str]:
    below: Sequence[Layer] = image.layers[: len(image.layers) - count_own_layers(image)]
    return {f"layer {number}": layer.diff_id for number, layer in enumerate(below)}


def _format_value(value: Any) -> str:
    return value if isinstance(value, str) else codec.encode_canonical(value).decode()


def _list_changes(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> list[Change]:
    return [
        Change(kind=kind, what=name, before=before.get(name, ""), after=after.get(name, ""))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
