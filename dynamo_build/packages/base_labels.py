"""What a base image brings along, and what is then left out of the packages over it.

A base says it in the label `dynamo.packages`: a list of objects with `name` and `version`. Without it, nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from dynamo_build.errors import ImageBuildError
from dynamo_build.model.plan import LockedPackage
from dynamo_build.packages.lockfile import normalised

LABEL = "dynamo.packages"


def provided(labels: Mapping[str, str]) -> Mapping[str, str]:
    """Versions by normalised name (PEP 503); empty where the label is missing or cannot be read."""
    try:
        said = json.loads(labels.get(LABEL, "[]"))
    except (ValueError, RecursionError):
        return {}
    entries = [entry for entry in said if isinstance(entry, dict)] if isinstance(said, list) else []
    return {
        normalised(entry["name"]): entry["version"]
        for entry in entries
        if isinstance(entry.get("name"), str) and isinstance(entry.get("version"), str)
    }


def without(
    packages: Sequence[LockedPackage], given: Mapping[str, str], *, override: bool = False
) -> tuple[LockedPackage, ...]:
    """The packages that the base does not have. With `override` another version goes over the base's own.

    Raises ImageBuildError naming every package of which the base has another version.
    """
    clashes = [
        f"{package.name} {given[package.name]}, locked is {package.version or package.source}"
        for package in packages
        if package.name in given and _public(package.version) != _public(given[package.name])
    ]
    if clashes and not override:
        raise ImageBuildError(
            f"the base has other versions of locked packages: {'; '.join(clashes)}",
            [
                "Lock the versions of the base, by naming them in the project's requirements.",
                "Or give `--allow-override` to install the locked ones over them.",
            ],
        )
    return tuple(
        package
        for package in packages
        if package.name not in given or _public(package.version) != _public(given[package.name])
    )


def _public(version: str) -> str:
    """A version without its local part: a build of the base for its CUDA is `2.5.1+cu124` (PEP 440)."""
    return version.partition("+")[0]
