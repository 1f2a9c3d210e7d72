"""The stages in their order, wired to the implementations that were chosen: what each command calls."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from dataclasses import replace

from dynamo_build import catalog
from dynamo_build.errors import DeployError, ImageBuildError, UsageError
from dynamo_build.events import Finished, Listener, ignore
from dynamo_build.freeze import build as build
from dynamo_build.freeze import chosen as chosen
from dynamo_build.freeze import configure as configure
from dynamo_build.freeze import discover as discover
from dynamo_build.freeze import store as store
from dynamo_build.manifests.finding import Finding
from dynamo_build.model.bento import Bento
from dynamo_build.model.deployment import Deployment, Manifests
from dynamo_build.model.image import ContainerizeOptions, Destination, Image, ImagePlan
from dynamo_build.model.reference import Platform
from dynamo_build.seams import Surroundings
from dynamo_build.stages import place as placing
from dynamo_build.stages.bases import bases
from dynamo_build.stages.destination import destination, earlier
from dynamo_build.stages.join import join, part
from dynamo_build.stages.layer import group_images, layer
from dynamo_build.stages.place import UNBUILT, PlaceOptions, named_images
from dynamo_build.stages.provided import provided


def containerize(
    bento: Bento, options: ContainerizeOptions, surroundings: Surroundings | None = None, on: Listener = ignore
) -> tuple[Image, ...]:
    """Build the images of a bento and deliver them, that of the entry first.

    Raises UsageError, StoreError, ImageBuildError, RegistryError or ToolMissing.
    """
    surroundings = surroundings or catalog.surroundings()
    builder = catalog.builder(options.builder, surroundings)
    planned = plan_images(bento, options, surroundings, on)
    for plan_, to in planned:
        if found := builder.problems(plan_, to):
            raise ImageBuildError(
                f"the builder `{options.builder}` cannot build this image: {'; '.join(found)}",
                ["Choose another `--builder`, or another destination."],
            )
    built = []
    for _, items in itertools.groupby(planned, key=lambda item: item[0].services):
        several = list(items)
        if len(several) == 1:
            built.append(builder.build(*several[0], on))
            continue
        parts = [(plan_, part(to, plan_.platform)) for plan_, to in several]
        built.append(join([builder.build(*each, on) for each in parts], several[0][1], surroundings, on))
    return tuple(built)


def plan_images(
    bento: Bento, options: ContainerizeOptions, surroundings: Surroundings | None = None, on: Listener = ignore
) -> tuple[tuple[ImagePlan, Destination], ...]:
    """What `containerize` would build, and where to; bases are looked up, nothing is written. Raises as it does."""
    surroundings = surroundings or catalog.surroundings()
    manifest = bento.manifest
    platforms = _platforms(options.platform, manifest.platforms)
    wanted = bases(manifest, options, surroundings.environment)
    found = []
    for base, services in group_images(bento, wanted):
        own = "" if manifest.graph.entry in services else services[0]
        to = destination(manifest.name, manifest.version, own, options, surroundings.environment, on)
        registry = surroundings.registry(base)
        exact = base.with_digest(registry.resolve(base))
        for platform in platforms:
            given = provided(registry.pull(exact, platform).labels)
            planned = layer(bento, exact, platform, services, given, override=options.override)
            images, kept_as = earlier(to, own, platform, options)
            planned = replace(
                planned,
                bytecode=options.bytecode,
                compression=options.compression,
                earlier=images,
                kept_as=kept_as,
                jobs=options.jobs,
            )
            found.append((planned, to))
    return tuple(found)


def _platforms(asked: str, locked: tuple[str, ...]) -> tuple[str, ...]:
    if asked:
        return tuple(dict.fromkeys(str(Platform.parse(one.strip())) for one in asked.split(",")))
    ours = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}.get(os.uname().machine, "")
    return (ours if ours in locked else locked[0],)


def images(
    bento: Bento,
    named: tuple[str, ...],
    options: ContainerizeOptions,
    surroundings: Surroundings | None = None,
    on: Listener = ignore,
    *,
    push: bool = True,
) -> Mapping[str, str]:
    """A reference with a digest for each service: as named (`[SERVICE=]REF@DIGEST`), else built and pushed.

    Without `push` nothing is built, and the reference is where the image would go. Raises UsageError without a place
    to push to, and as `containerize` does.
    """
    names = bento.manifest.graph.names
    found = named_images(named, names)
    if len(found) == len(names):
        return found
    if not options.registry and not options.references:
        raise UsageError(
            "there is no registry to push the image to",
            ["Name one with --registry or DYNAMO_REGISTRY, or an image that is there with --set-image REF@sha256:…."],
        )
    options = replace(options, push=True)
    if push:
        delivered = containerize(bento, options, surroundings, on)
        for image in delivered:
            sent = sum(item.sent for item in image.layers)
            done = f"{sent} of {len(image.layers)} layers sent" if sent else "nothing to send"
            on(Finished(what=f"image {image.reference}", detail=done))
        built = {service: image.reference for image in delivered for service in image.services}
        return {name: found.get(name) or built[name] for name in names}
    tag = f"{bento.manifest.name}:{bento.manifest.version}"
    planned = options.references[0] if options.references else f"{options.registry}/{tag}"
    return {name: found.get(name) or f"{planned}@{UNBUILT}" for name in names}


def place(
    bento: Bento,
    found: Mapping[str, str],
    options: PlaceOptions,
    surroundings: Surroundings | None = None,
) -> tuple[Deployment, Manifests]:
    """The deployment of a bento and its manifests; nothing is touched. Raises UsageError or DeployError."""
    deployment = placing.place(bento, found, options)
    target = catalog.target(options.target, surroundings or catalog.surroundings())
    return deployment, target.render(deployment)


def check(manifests: Manifests, *, strict: bool = True) -> tuple[Finding, ...]:
    """What is wrong with manifests, without a cluster. `strict` adds the API's schema, which takes a second to load.

    Raises DeployError when there is an error; warnings are given back.
    """
    from dynamo_build.manifests.files import token_secrets
    from dynamo_build.manifests.rules import findings

    if manifests.target == "compose":
        return ()
    documents = [item.document for item in manifests.items]
    provided = {("Secret", name) for name in token_secrets(documents)}
    if strict:
        from dynamo_build.cluster.check import check as strictly

        found = strictly(documents, manifests.namespace, provided)
    else:
        found = findings(documents, manifests.namespace, provided)
    if errors := [finding for finding in found if not finding.warning]:
        count = "a mistake" if len(errors) == 1 else f"{len(errors)} mistakes"
        raise DeployError(f"the manifests have {count}: {errors[0]}", [f"{finding}." for finding in errors[1:]])
    return found


def reach(manifests: Manifests, surroundings: Surroundings) -> None:
    """See that there is a cluster to speak to, before anything is built for it. Raises DeployError or ToolMissing."""
    if manifests.target not in ("k8s", "dynamo-crd"):
        return
    from dynamo_build.cluster.deploy import connect

    connect(surroundings).version()


def apply(manifests: Manifests, surroundings: Surroundings, on: Listener = ignore) -> str:
    """Make it so and give the deployment's name; `surroundings.options` say how. Raises DeployError or ToolMissing."""
    return catalog.target(manifests.target, surroundings).apply(manifests, on)


def diff(manifests: Manifests, surroundings: Surroundings) -> tuple[str, ...]:
    """What an apply would change, one line per field. Raises DeployError or ToolMissing."""
    from dynamo_build.cluster.deploy import connect
    from dynamo_build.cluster.diff import diff as against

    if manifests.target == "compose":
        raise UsageError("compose keeps nothing to compare with", ["Use `docker compose config`."])
    return tuple(against(manifests, connect(surroundings)))
