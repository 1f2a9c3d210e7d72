"""A catalogue of the implementations of each seam, by name; a module is imported when its name is chosen.

Other distributions add theirs by entry points; `seams` lists the groups.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dynamo_build.errors import UsageError
from dynamo_build.model.deployment import DEFAULT_TARGET
from dynamo_build.seams import DeployTarget, ImageBuilder, Locker, Registry, Surroundings, default_home

if TYPE_CHECKING:
    from dynamo_build.model.reference import ImageReference

LOCKERS = {
    "uv": "dynamo_build.packages.lockers.uv:UvLocker",
    "given": "dynamo_build.packages.lockers.given:GivenLocker",
}
BUILDERS = {
    "oci": "dynamo_build.builders.oci:OciBuilder",
    "docker": "dynamo_build.builders.docker:DockerBuilder",
    "buildah": "dynamo_build.builders.buildah:BuildahBuilder",
    "podman": "dynamo_build.builders.buildah:PodmanBuilder",
}
REGISTRIES = {
    "http": "dynamo_build.registries.http:HttpRegistry",
    "folder": "dynamo_build.registries.folder:FolderRegistry",
}
TARGETS = {
    DEFAULT_TARGET: "dynamo_build.deploy.targets.k8s:KubernetesTarget",
    "dynamo-crd": "dynamo_build.deploy.targets.dynamo_crd:DynamoCrdTarget",
    "compose": "dynamo_build.deploy.targets.compose:ComposeTarget",
}
ALIASES = {"kubernetes": DEFAULT_TARGET}


def find_locker(name: str, surroundings: Surroundings) -> Locker:
    """The locker of that name. Raises UsageError."""
    return cast(Locker, _make_implementation("locker", "dynamo.lockers", LOCKERS, name, surroundings))


def find_builder(name: str, surroundings: Surroundings) -> ImageBuilder:
    """The image builder of that name. Raises UsageError."""
    return cast(ImageBuilder, _make_implementation("builder", "dynamo.builders", BUILDERS, name, surroundings))


def find_registry_kind(name: str, surroundings: Surroundings) -> Registry:
    """The registry of that kind. Raises UsageError."""
    return cast(Registry, _make_implementation("registry", "dynamo.registries", REGISTRIES, name, surroundings))


def default_surroundings(
    environment: Mapping[str, str] | None = None, cache: Path | None = None, insecure: tuple[str, ...] = ()
) -> Surroundings:
    """Surroundings whose `registry` finds the registry of a reference.

    A folder for `oci:`, an entry point of `dynamo.registries` for another scheme, else the server that the host names.
    """
    environment = dict(os.environ) if environment is None else environment
    cache = cache or default_home(environment) / "cache"
    around = Surroundings(environment=environment, cache=cache, insecure=insecure)
    made: dict[str, Registry] = {}

    def find_registry(reference: ImageReference) -> Registry:
        kind = reference.scheme or ("folder" if reference.folder else "http")
        if kind not in made:
            made[kind] = _foreign_registry(kind, around) if reference.scheme else find_registry_kind(kind, around)
        return made[kind]

    return replace(around, registry=find_registry)


def _foreign_registry(scheme: str, surroundings: Surroundings) -> Registry:
    """The registry that another distribution provides for this scheme. Raises UsageError."""
    from dynamo_build.registries.partial import PartialRegistry

    return PartialRegistry(scheme, _make_implementation("registry", "dynamo.registries", {}, scheme, surroundings))


def find_target(name: str, surroundings: Surroundings) -> DeployTarget:
    """The deploy target of that name or alias. Raises UsageError."""
    return cast(
        DeployTarget, _make_implementation("target", "dynamo.targets", TARGETS, ALIASES.get(name, name), surroundings)
    )


def _make_implementation(kind: str, group: str, known: dict[str, str], name: str, surroundings: Surroundings) -> Any:
    if name in known:
        module, _, attribute = known[name].partition(":")
        return getattr(importlib.import_module(module), attribute)(surroundings)
    from importlib.metadata import entry_points  # loads what mail needs

    added = {entry.name: entry for entry in entry_points(group=group)}
    if name in added:
        entry = added[name]
        try:
            factory = entry.load()
        except Exception as error:  # whatever the other distribution raises while it is imported
            raise UsageError(
                f"the {kind} `{name}` (`{entry.value}`) cannot be loaded: {type(error).__name__}: {error}",
                ["Install the distribution that provides it again, or uninstall it."],
            ) from error
        return factory(surroundings)
    names = sorted({*known, *added})
    from dynamo.sdk.suggestions import did_you_mean

    others = f"There are {', '.join(names)}." if names else "No installed distribution provides one."
    raise UsageError(f"there is no {kind} `{name}`", [did_you_mean(name, names, others)])
