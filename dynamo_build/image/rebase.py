"""Rebase of an image: another base below the same layers, which are not sent again.

What was made for the old base has to hold over the new one, so Python, glibc, CUDA and the packages that it brings are
compared first, as far as the two say what they have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dynamo_build.errors import ImageBuildError
from dynamo_build.image.image_report import OURS, count_own_layers, read_annotations
from dynamo_build.model.image import PACKAGES
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.packages.base_labels import list_provided_packages

_BASE = "org.opencontainers.image.base.digest"
_NAME = "org.opencontainers.image.base.name"
#: Labels by which a base tells what it is; those of the new one hold.
_OF_THE_BASE = ("dynamo.python", "dynamo.platform", "dynamo.packages", "dynamo.production")


def rebase_image(
    image: OciImage, base: OciImage, name: ImageReference, before: OciImage | None = None, *, force: bool = False
) -> OciImage:
    """The image over `base`. `before` is the old base, if it can be had: what it set is then taken back.

    Raises ImageBuildError with everything that would not fit, unless `force` is given, and for images not made here.
    """
    own = count_own_layers(image)
    if not own or not image.labels.get(_BASE):
        raise ImageBuildError(
            "the image does not say which of its layers are its base", ["Only images that were built with oci can be."]
        )
    if (wrong := find_misfits(image, base)) and not force:
        raise ImageBuildError(
            f"the image does not fit over `{name}`: {'; '.join(wrong)}",
            ["Build the image again over the new base with `dynamo containerize`."],
        )
    history = [item for item in image.document.get("history") or [] if str(item.get("created_by", "")).startswith(OURS)]
    below = list(base.document.get("history") or [])
    settings = _merge_settings(image, base, before)
    config = {
        **image.document,
        "history": [*below, *history[-own:]],
        "config": {**settings, "Labels": {**settings["Labels"], _BASE: name.digest or base.digest}},
    }
    notes = {**read_annotations(image), _BASE: name.digest or base.digest}
    notes.pop(_NAME, None)
    if not name.folder and name.host.partition(":")[0] not in ("localhost", "127.0.0.1", "[::1]"):
        notes[_NAME] = str(replace(name, digest=""))
    return OciImage.compose(config, (*base.layers, *image.layers[len(image.layers) - own :]), notes)


def find_misfits(image: OciImage, base: OciImage) -> list[str]:
    """What of the image would not hold over the base."""
    found = []
    if image.platform != base.platform:
        found.append(f"the image is for {image.platform}, the base for {base.platform}")
    old, new = _read_label(image, "dynamo.python"), _read_label(base, "dynamo.python")
    exact = image.labels.get("dynamo.bytecode", "none") not in ("none", "")
    was, now = str(old.get("version", "")), str(new.get("version", ""))
    if was and (now if exact else now.rpartition(".")[0]) != (was if exact else was.rpartition(".")[0]):
        why = ", and its modules are compiled by that very version" if exact else ""
        found.append(f"it was made for Python {was}{why}; the base has {now or 'none that it names'}")
    if old.get("executable") and old.get("executable") != new.get("executable"):
        found.append(f"its scripts start {old.get('executable')}, the base has {new.get('executable') or 'none'}")
    old, new = _read_label(image, "dynamo.platform"), _read_label(base, "dynamo.platform")
    for name in ("glibc", "cuda"):
        if _parse_version(old.get(name)) > _parse_version(new.get(name)):
            found.append(f"it was made over {name} {old.get(name)}, the base has {new.get(name) or 'none'}")
    if _parse_version(old.get("cuda"))[:1] != _parse_version(new.get("cuda"))[:1] and _parse_version(old.get("cuda")):
        found.append(f"it was made over CUDA {old.get('cuda')}, the base has {new.get('cuda') or 'none'}")
    has = list_provided_packages(base.labels)
    for package, version in sorted(list_provided_packages(image.labels).items()):
        if has.get(package) != version:
            found.append(f"its base brought {package} {version}, the new one {has.get(package) or 'none'}")
    return list(dict.fromkeys(found))


def _merge_settings(image: OciImage, base: OciImage, before: OciImage | None) -> dict[str, Any]:
    ours, theirs, old = dict(image.settings), base.settings, before.settings if before else {}
    environment = _parse_environment(theirs)
    was = _parse_environment(old)
    environment |= {
        key: value for key, value in _parse_environment(ours).items() if was.get(key) != value and key != "PATH"
    }
    environment["PATH"] = f"{PACKAGES}/bin:{_parse_environment(theirs).get('PATH') or '/usr/local/bin:/usr/bin:/bin'}"
    gone = {key for key, value in (old.get("Labels") or {}).items() if image.labels.get(key) == value}
    labels = {key: value for key, value in image.labels.items() if key not in gone and key not in _OF_THE_BASE}
    return {
        **{
            key: value for key, value in ours.items() if key not in old or old[key] != value or key in ("Env", "Labels")
        },
        "Env": [f"{key}={value}" for key, value in environment.items()],
        "Labels": {**base.labels, **labels},
    }


def _parse_environment(settings: Mapping[str, Any]) -> dict[str, str]:
    return dict(str(item).partition("=")[::2] for item in settings.get("Env") or ())


def _read_label(image: OciImage, label: str) -> Mapping[str, Any]:
    try:
        found = json.loads(image.labels.get(label, "{}"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _parse_version(version: object) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", str(version or ""))[:3])
