"""Image plans of a bento: the base of each service, and layers ordered by how rarely they change."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from dynamo.sdk import codec
from dynamo.sdk.graph import ServiceGraph
from dynamo_build.errors import StoreError, UsageError
from dynamo_build.model.bento import Bento, BentoManifest
from dynamo_build.model.image import (
    CONFIGURATION,
    PACKAGES,
    RUNTIME,
    SOURCE,
    ContainerizeOptions,
    FilesLayer,
    ImagePlan,
    PackagesLayer,
    PlannedLayer,
    SetupCommand,
    SystemPackages,
    WheelLayer,
)
from dynamo_build.model.reference import ImageReference
from dynamo_build.packages import lockfile
from dynamo_build.packages.base_labels import exclude_provided

ENVIRONMENT = {
    "PYTHONPATH": f"{SOURCE}:{RUNTIME}:{PACKAGES}",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "DYNAMO_BENTO": CONFIGURATION,
    "DYNAMO_HOST": "0.0.0.0",  # noqa: S104  (inside a container only what is published is reached)
    "DYNAMO_PORT": "8000",
    "DYNAMO_SYSTEM_HOST": "0.0.0.0",  # noqa: S104
    "DYNAMO_SYSTEM_PORT": "9090",
    "HOME": "/tmp",
}
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def group_images(
    bento: Bento, bases: Mapping[str, ImageReference]
) -> tuple[tuple[ImageReference, tuple[str, ...]], ...]:
    """The bases and the services over each, the entry's first. Raises UsageError for a service without a base.

    `bases` maps a service to its base; the key "" is the graph's.
    """
    graph = bento.manifest.graph
    unknown = sorted(set(bases) - {"", *graph.names})
    if unknown:
        raise UsageError(f"there is no service `{unknown[0]}`", [f"The graph has {', '.join(graph.names)}."])
    groups: dict[str, list[str]] = {}
    for name in sorted(graph.names, key=lambda name: name != graph.entry):
        base = bases.get(name) or bases.get("")
        if base is None:
            raise UsageError(f"service `{name}` has no base image", ["Name one with `--base`."])
        groups.setdefault(str(base), []).append(name)
    return tuple((ImageReference.parse(base), tuple(sorted(names))) for base, names in groups.items())


def plan_image(
    bento: Bento,
    base: ImageReference,
    platform: str,
    services: Sequence[str] = (),
    given: Mapping[str, str] | None = None,
    *,
    override: bool = False,
) -> ImagePlan:
    """The plan of one image. `base` holds its digest, `given` are versions of the packages that it brings along.

    Raises UsageError for a platform that was not locked, and ImageBuildError where the base has another version of a
    locked package and `override` does not allow it.
    """
    manifest = bento.manifest
    if platform not in manifest.platforms:
        raise UsageError(
            f"the bento `{bento.tag}` is locked for {', '.join(manifest.platforms)}, not for {platform}",
            [f"Build it with `--platform {platform}`."],
        )
    return ImagePlan(
        name=manifest.name,
        version=manifest.version,
        bento=bento.folder,
        services=tuple(services) or manifest.graph.names,
        base=base,
        platform=platform,
        layers=_plan_layers(bento, platform, given or {}, override=override),
        environment=ENVIRONMENT,
        labels=_build_labels(manifest, base),
        working_directory=SOURCE,
        template=manifest.dockerfile_template,
    )


def digest_schema(graph: ServiceGraph) -> str:
    """The digest of a graph's canonical form."""
    return f"sha256:{hashlib.sha256(codec.encode_canonical(graph)).hexdigest()}"


def _plan_layers(bento: Bento, platform: str, given: Mapping[str, str], *, override: bool) -> tuple[PlannedLayer, ...]:
    manifest, folder = bento.manifest, Path(bento.folder)
    layers: list[PlannedLayer] = []
    if manifest.system_packages:
        layers.append(SystemPackages(names=manifest.system_packages))
    layers += [SetupCommand(command=command) for command in manifest.setup_commands]
    locked = manifest.lock.packages.get(platform, ())
    packages = exclude_provided(locked, given, override=override)
    if packages:
        requirements = _read_text(folder / f"env/python/requirements-{platform.replace('/', '-')}.txt")
        if len(packages) < len(locked):
            requirements = lockfile.format_requirements(packages)
        layers.append(
            PackagesLayer(
                packages=packages,
                requirements=requirements,
                python=manifest.lock.python,
                platform=platform,
                wheels=tuple(sorted({package.wheel for package in packages if package.wheel})),
            )
        )
    layers += [
        WheelLayer(wheel=f"runtime/{manifest.runtime}", target=RUNTIME),
        FilesLayer(name="config", folder="config", paths=("config.json", "graph.json"), target=CONFIGURATION),
        FilesLayer(name="code", folder="src", paths=_list_sources(folder), target=SOURCE),
    ]
    return tuple(layers)


def _build_labels(manifest: BentoManifest, base: ImageReference) -> Mapping[str, str]:
    """OCI annotations and ours. Neither place nor time: the same bento over the same base is the same image."""
    return {
        **manifest.labels,
        "org.opencontainers.image.title": manifest.name,
        "org.opencontainers.image.version": manifest.version,
        **({"org.opencontainers.image.base.digest": base.digest} if base.digest else {}),
        "dynamo.bento": manifest.tag,
        "dynamo.graph": digest_schema(manifest.graph),
        "dynamo.lock": f"sha256:{hashlib.sha256(codec.encode_canonical(manifest.lock)).hexdigest()}",
    }


def _list_sources(folder: Path) -> tuple[str, ...]:
    found = []
    for line in _read_text(folder / "files.sha256").splitlines():
        match = _LINE.fullmatch(line)
        if match is None or not match.group(2).startswith("src/"):
            raise StoreError(f"`{folder / 'files.sha256'}` is damaged", ["Build the bento again."])
        found.append(match.group(2).removeprefix("src/"))
    return tuple(sorted(found))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"`{path}` cannot be read: {error}", ["Build the bento again."]) from error


VARIABLE = "DYNAMO_IMAGE"


def resolve_bases(
    manifest: BentoManifest, options: ContainerizeOptions, environment: Mapping[str, str]
) -> Mapping[str, ImageReference]:
    """A base for every service: `--base [SERVICE=]REF`, then the service's `image=`, then DYNAMO_IMAGE, then settings.

    Raises UsageError for a service that is not in the graph, and where a service is left without a base.
    """
    names = manifest.graph.names
    given: dict[str, str] = {}
    for text in options.bases:
        service, equals, reference = text.partition("=")
        if not equals:
            service, reference = "", text
        if service and service not in names:
            raise UsageError(f"there is no service `{service}`", [f"The graph has {', '.join(names)}."])
        given[service] = reference
    declared = environment.get(VARIABLE) or options.base or manifest.base
    found = {}
    for spec in manifest.graph.services:
        text = given.get(spec.name) or given.get("") or spec.image or declared
        if not text:
            raise UsageError(
                f"service `{spec.name}` has no base image",
                [
                    f"Name one with `--base REF`, or set {VARIABLE}.",
                    "To try it out, make one from this Python with `python3 container/make_base.py --output base`, "
                    "and give `--base oci:base`.",
                ],
            )
        found[spec.name] = ImageReference.parse(text)
    return found
