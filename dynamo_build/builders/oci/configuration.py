"""The config of an image over that of its base: environment, labels, user, entry point."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dynamo_build.errors import ImageBuildError
from dynamo_build.model.image import HEALTHCHECK, PACKAGES, ImagePlan, PackagesLayer
from dynamo_build.oci.compression import Compressor
from dynamo_build.oci.oci_image import OciImage

#: The annotation that says what made the compressed bytes.
COMPRESSOR = "dynamo.compressor"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def image_settings(base: OciImage, plan: ImagePlan, labels: Mapping[str, str] | None = None) -> Mapping[str, Any]:
    """How containers of the image run. What the base says holds where the plan says nothing.

    `labels` are about how the image was made.
    """
    inherited = base.settings
    environment = dict(item.partition("=")[::2] for item in inherited.get("Env") or [] if isinstance(item, str))
    path = environment.get("PATH") or _PATH
    environment |= {**plan.environment, "PATH": f"{PACKAGES}/bin:{path}"}
    kept = {
        name: value for name, value in inherited.items() if name not in ("Cmd", "Entrypoint", "Healthcheck", "OnBuild")
    }
    written: dict[str, Any] = {
        **kept,
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "Labels": {**base.labels, **plan.labels, **(labels or {})},
        "Entrypoint": list(plan.entrypoint),
        "User": plan.user,
        "WorkingDir": plan.working_directory,
        "ExposedPorts": {**(inherited.get("ExposedPorts") or {}), **{f"{port}/tcp": {} for port in plan.ports}},
    }
    written["Healthcheck"] = HEALTHCHECK
    if plan.command:
        written["Cmd"] = list(plan.command)
    return written


def image_annotations(plan: ImagePlan, compressor: Compressor) -> Mapping[str, str]:
    """The manifest's annotations: the labels, what compressed the layers, and the base's name.

    Not in the config, which is the same whatever packed the layers and wherever the base was found.
    """
    found = {**plan.labels, COMPRESSOR: compressor.identity}
    if not plan.base.folder and plan.base.host.partition(":")[0] not in ("localhost", "127.0.0.1", "[::1]"):
        found["org.opencontainers.image.base.name"] = str(replace(plan.base, digest=""))
    return found


def check_base(base: OciImage, plan: ImagePlan) -> None:
    """Whether the plan's layers can run over this base. Raises ImageBuildError."""
    if base.platform != plan.platform:
        raise ImageBuildError(
            f"the base `{plan.base}` is for {base.platform}, the image for {plan.platform}",
            ["Choose another base, or another `--platform`."],
        )
    version = str(read_python(base).get("version", ""))
    for layer in plan.layers:
        if isinstance(layer, PackagesLayer) and version and version.split(".")[:2] != layer.python.split(".")[:2]:
            raise ImageBuildError(
                f"the base `{plan.base}` has Python {version}, but the packages are locked for {layer.python}",
                [f"Choose a base with Python {layer.python}, or build the bento for the Python of the base."],
            )


def read_python(base: OciImage) -> Mapping[str, Any]:
    """What the base says of its Python in the label `dynamo.python`; empty when it says nothing that can be read."""
    try:
        said = json.loads(base.labels.get("dynamo.python", "{}"))
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
