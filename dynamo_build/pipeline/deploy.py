"""The stages in their order, wired to the implementations that were chosen: what each command calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from dynamo_build import catalog
from dynamo_build.bento.select import chosen as chosen
from dynamo_build.bento.select import store as store
from dynamo_build.deploy import place as placing
from dynamo_build.deploy.kubernetes.checks.finding import Finding
from dynamo_build.deploy.place import UNBUILT, PlaceOptions, named_images
from dynamo_build.errors import DeployError, UsageError
from dynamo_build.events import Finished, Listener, ignore
from dynamo_build.image.bases import bases
from dynamo_build.model.bento import Bento
from dynamo_build.model.deployment import Deployment, Manifests
from dynamo_build.model.image import ContainerizeOptions
from dynamo_build.model.reference import ImageReference
from dynamo_build.pipeline.build import build as build
from dynamo_build.pipeline.build import configure as configure
from dynamo_build.pipeline.build import discover as discover
from dynamo_build.pipeline.containerize import containerize as containerize
from dynamo_build.pipeline.containerize import plan_images as plan_images
from dynamo_build.seams import Surroundings


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
            [
                "Name one with --registry, DYNAMO_REGISTRY or `registry` in [tool.dynamo.deploy], "
                "or an image that is there with --set-image REF@sha256:….",
            ],
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


def signed(found: Iterable[str], key: str, surroundings: Surroundings) -> None:
    """See that the owner of a public key signed these images; "" asks for nothing. Raises RegistryError, UsageError."""
    if not key:
        return
    from dynamo_build.image import signatures

    for text in sorted(set(found)):
        reference = ImageReference.parse(text)
        signatures.verify(reference, Path(key), surroundings.registry(reference))


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


def check(manifests: Manifests, *, strict: bool = True, kubernetes: str = "") -> tuple[Finding, ...]:
    """What is wrong with manifests, without a cluster. `strict` adds the API's schema, which takes a second to load.

    `kubernetes` is the version it is for, "" for all that are supported. Raises DeployError when there is an error, or
    UsageError for a version that is not supported; warnings are given back.
    """
    from dynamo_build.deploy.kubernetes.checks.rules import findings
    from dynamo_build.deploy.kubernetes.checks.version_rules import minor_version
    from dynamo_build.deploy.kubernetes.objects.files import token_secrets

    version = minor_version(kubernetes)
    if manifests.target == "compose":
        return ()
    documents = [item.document for item in manifests.items]
    provided = {("Secret", name) for name in token_secrets(documents)}
    if strict:
        from dynamo_build.deploy.cluster.check import check as strictly

        found = strictly(documents, manifests.namespace, provided, version)
    else:
        found = findings(documents, manifests.namespace, provided, version)
    return _without_errors(found, "the manifests have")


def fit(
    bento: Bento,
    deployment: Deployment,
    options: ContainerizeOptions,
    surroundings: Surroundings | None = None,
) -> tuple[Finding, ...]:
    """Whether the images, or the bases of those to be built, fit what they will run on; read-only.

    Raises DeployError when one does not, and UsageError where a service has no base; warnings are given back.
    """
    from dynamo_build.deploy.image_fit import fit as fitting

    surroundings = surroundings or catalog.surroundings()
    images = {one.service: ImageReference.parse(one.image) for one in deployment.workloads}
    if any(image.digest == UNBUILT for image in images.values()):
        wanted = bases(bento.manifest, options, surroundings.environment)
        images = {name: wanted[name] if image.digest == UNBUILT else image for name, image in images.items()}
    return _without_errors(tuple(fitting(bento, deployment, images, surroundings)), "the images have")


def _without_errors(found: tuple[Finding, ...], what: str) -> tuple[Finding, ...]:
    if errors := [finding for finding in found if not finding.warning]:
        count = "a mistake" if len(errors) == 1 else f"{len(errors)} mistakes"
        raise DeployError(f"{what} {count}: {errors[0]}", [f"{finding}." for finding in errors[1:]])
    return found


def texts(
    manifests: Manifests, deployment: Deployment, form: str, surroundings: Surroundings | None = None
) -> Mapping[str, str]:
    """Names and texts of files in a form: one per object, or a kustomize base with overlays, or a Helm chart.

    Raises UsageError for a form that the target does not have.
    """
    from dynamo_build.deploy.kubernetes.objects import files
    from dynamo_build.deploy.kubernetes.objects.graph import environments

    if form not in files.TREES:
        return files.per_object(manifests, form)
    if manifests.target == "compose":
        raise UsageError(f"the target compose has no form `{form}`", ["Leave out --format."])
    if form == "helm":
        from dynamo_build.deploy.kubernetes.objects.helm import helm

        return helm(manifests, deployment)
    from dynamo_build.deploy.kubernetes.objects.kustomize import kustomize

    target = catalog.target(deployment.target, surroundings or catalog.surroundings())
    options = deployment.options
    bare = target.render(replace(deployment, options={**options, "environment": ""}))
    others = {name: {**options, "environment": name} for name in environments(deployment)}
    return kustomize(bare, {name: target.render(replace(deployment, options=own)) for name, own in others.items()})


def reach(manifests: Manifests, surroundings: Surroundings) -> None:
    """See that there is a cluster to speak to, before anything is built for it. Raises DeployError or ToolMissing."""
    if manifests.target not in ("k8s", "dynamo-crd"):
        return
    from dynamo_build.deploy.cluster.deploy import connect

    connect(surroundings).version()


def apply(manifests: Manifests, surroundings: Surroundings, on: Listener = ignore) -> str:
    """Make it so and give the deployment's name; `surroundings.options` say how. Raises DeployError or ToolMissing."""
    return catalog.target(manifests.target, surroundings).apply(manifests, on)


def diff(manifests: Manifests, surroundings: Surroundings) -> tuple[str, ...]:
    """What an apply would change, one line per field. Raises DeployError or ToolMissing."""
    from dynamo_build.deploy.cluster.deploy import connect
    from dynamo_build.deploy.cluster.diff import diff as against

    if manifests.target == "compose":
        raise UsageError("compose keeps nothing to compare with", ["Use `docker compose config`."])
    return tuple(against(manifests, connect(surroundings)))
