"""The verb `deploy`: a bento into manifests, and onto the place that its target knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dynamo_build import catalog
from dynamo_build.deploy import place as placing
from dynamo_build.deploy.image_compatibility import check_images
from dynamo_build.deploy.kubernetes.objects import manifest_files
from dynamo_build.deploy.place import UNBUILT, PlaceOptions, parse_named_images
from dynamo_build.errors import DeployError, UsageError
from dynamo_build.events import Finished, Listener, Noted, Warned, ignore
from dynamo_build.image.plan_image import resolve_bases
from dynamo_build.model.deployment import Deployment, Finding, Manifests
from dynamo_build.model.image import ContainerizeOptions
from dynamo_build.model.reference import ImageReference
from dynamo_build.pipeline.build import resolve_configuration
from dynamo_build.pipeline.containerize import containerize
from dynamo_build.seams import ApplyOptions, ChecksManifests, ComparesManifests, Surroundings, WritesTrees

if TYPE_CHECKING:
    from dynamo_build.model.bento import Bento
    from dynamo_build.seams import DeployTarget

#: How far a deploy goes: show the plan, render, compare with the cluster, or apply.
Until = Literal["plan", "render", "diff", "apply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployOptions:
    """Everything that a deploy can be told.

    `images` are `[SERVICE=]REFERENCE@DIGEST`; the rest is built as `containerize` says and pushed. `config_file` and
    `arguments` (`--Service.key=value`) override the bento's configuration. `form` is the form of the manifests, in
    `output_dir` a file for each object. `check` adds the checks that take long; `kubernetes_version` is the cluster's,
    "" for all supported. `verify_key` is the file of the public key that must have signed each image, "" for none.
    `wait` waits until all is ready, at most `applying.wait` seconds, 0 for what the services' start-up allows.
    """

    place: PlaceOptions = field(default_factory=PlaceOptions)
    images: tuple[str, ...] = ()
    containerize: ContainerizeOptions = field(default_factory=ContainerizeOptions)
    config_file: str = ""
    arguments: tuple[str, ...] = ()
    form: str = "yaml"
    output_dir: str = ""
    check: bool = False
    kubernetes_version: str = ""
    verify_key: str = ""
    until: Until = "render"
    wait: bool = False
    applying: ApplyOptions = field(default_factory=ApplyOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """The outcome of a deploy: `state` is planned, rendered, compared, checked, applied or ready.

    `changes` are the lines of a comparison, `files` what was written into the folder.
    """

    state: str
    deployment: Deployment
    manifests: Manifests
    changes: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


def deploy(
    bento: Bento, options: DeployOptions, on: Listener = ignore, surroundings: Surroundings | None = None
) -> Deployed:
    """Place a bento and render it; then check, compare, write or apply, as the options say.

    Images that are not named are built and pushed, but never for a plan. Raises UsageError, DeployError, RegistryError,
    ImageBuildError, StoreError or ToolMissing.
    """
    manifest_files.check_form(options.form, options.output_dir)
    surroundings = replace(surroundings or catalog.default_surroundings(), applying=options.applying)
    target = catalog.find_target(options.place.target, surroundings)
    options = _complete_options(bento, options, target, on)
    # All that needs no registry and no cluster first: nothing is pushed for a deployment that cannot be.
    planned = deliver_images(bento, options, surroundings, on, push=False)
    deployment, manifests = _render(bento, planned, options, target)
    warnings = check_manifests(target, manifests, options)
    if options.check:
        warnings = (*warnings, *_check_images(bento, deployment, options.containerize, surroundings))
    for warning in warnings:
        on(Warned(text=str(warning)))
    if options.until == "plan":
        return Deployed(state="planned", deployment=deployment, manifests=manifests)
    if options.until != "render" and isinstance(target, ComparesManifests):
        target.reach()
    pushed = deliver_images(bento, options, surroundings, on)
    verify_signatures(pushed.values(), options.verify_key, surroundings)
    if pushed != planned:
        deployment, manifests = _render(bento, pushed, options, target)
    if options.until == "diff":
        assert isinstance(target, ComparesManifests)
        changes = target.diff(manifests)
        return Deployed(state="compared", deployment=deployment, manifests=manifests, changes=changes)
    written: tuple[Path, ...] = ()
    if options.output_dir:
        written = manifest_files.write_files(
            format_files(target, manifests, deployment, options.form), Path(options.output_dir)
        )
        if written:
            on(Noted(text=f"wrote {len(written)} files"))
    done = Deployed(state="rendered", deployment=deployment, manifests=manifests, files=written)
    if options.until != "apply":
        return done
    if options.wait:
        budget = options.applying.wait or max(workload.startup for workload in deployment.workloads) + 600.0
        waiting = replace(surroundings, applying=replace(options.applying, wait=budget))
        target = catalog.find_target(options.place.target, waiting)
    target.apply(manifests, on)
    return replace(done, state="checked" if options.applying.dry_run else "ready" if options.wait else "applied")


def _complete_options(bento: Bento, options: DeployOptions, target: DeployTarget, on: Listener) -> DeployOptions:
    """The options with the target's own name and the resolved configuration. Raises UsageError for what it lacks."""
    name = catalog.ALIASES.get(options.place.target, options.place.target)
    if options.check and not isinstance(target, ChecksManifests):
        raise UsageError(f"the target `{name}` has no checks", ["Leave out --check."])
    if options.until == "diff" and not isinstance(target, ComparesManifests):
        raise UsageError(f"the target `{name}` has nothing to compare with", ["Leave out --diff."])
    if options.applying.dry_run and not isinstance(target, ComparesManifests):
        raise UsageError(f"the target `{name}` has no server to ask", ["Use --dry-run, which shows the plan."])
    if options.form in manifest_files.TREES and options.form not in _trees_of(target):
        raise UsageError(f"the target `{name}` has no form `{options.form}`", ["Leave out --format."])
    config = resolve_configuration(bento.manifest.graph, options.config_file, options.arguments, on)
    pins = bool(getattr(target, "pins_architecture", False))
    return replace(options, place=replace(options.place, target=name, config=config, pin_architecture=pins))


def _trees_of(target: DeployTarget) -> tuple[str, ...]:
    return target.trees if isinstance(target, WritesTrees) else ()


def deliver_images(
    bento: Bento,
    options: DeployOptions,
    surroundings: Surroundings | None = None,
    on: Listener = ignore,
    *,
    push: bool = True,
) -> Mapping[str, str]:
    """A reference with a digest for each service: as named, else built and pushed.

    Without `push` nothing is built, and the reference is where the image would go. Raises UsageError without a place
    to push to, and as `containerize` does.
    """
    names = bento.manifest.graph.names
    found = parse_named_images(options.images, names)
    building = options.containerize
    if len(found) == len(names):
        return found
    if not building.registry and not building.references:
        raise UsageError(
            "there is no registry to push the image to",
            [
                "Name one with --registry, DYNAMO_REGISTRY or `registry` in [tool.dynamo.deploy], "
                "or an image that is there with --set-image REF@sha256:….",
            ],
        )
    if push:
        delivered = containerize(bento, replace(building, push=True), surroundings, on)
        for image in delivered:
            sent = sum(item.sent for item in image.layers)
            done = f"{sent} of {len(image.layers)} layers sent" if sent else "nothing to send"
            on(Finished(what=f"image {image.reference}", detail=done))
        built = {service: image.reference for image in delivered for service in image.services}
        return {name: found.get(name) or built[name] for name in names}
    tag = f"{bento.manifest.name}:{bento.manifest.version}"
    planned = building.references[0] if building.references else f"{building.registry}/{tag}"
    return {name: found.get(name) or f"{planned}@{UNBUILT}" for name in names}


def verify_signatures(images: Iterable[str], key: str, surroundings: Surroundings) -> None:
    """Verify that the owner of a public key signed these images; "" asks for nothing.

    Raises RegistryError or UsageError.
    """
    if not key:
        return
    from dynamo_build.image import signatures

    for text in sorted(set(images)):
        reference = ImageReference.parse(text)
        signatures.verify_image(reference, Path(key), surroundings.registry(reference))


def _render(
    bento: Bento, images: Mapping[str, str], options: DeployOptions, target: DeployTarget
) -> tuple[Deployment, Manifests]:
    deployment = placing.place_bento(bento, images, options.place)
    return deployment, target.render(deployment)


def check_manifests(target: DeployTarget, manifests: Manifests, options: DeployOptions) -> tuple[Finding, ...]:
    """The warnings of a target's own checks, which need no cluster.

    Raises DeployError for a mistake, UsageError for a version that is not supported.
    """
    if not isinstance(target, ChecksManifests):
        return ()
    found = target.check(manifests, strict=options.check, version=options.kubernetes_version)
    return _refuse_mistakes(found, "the manifests have")


def _check_images(
    bento: Bento, deployment: Deployment, building: ContainerizeOptions, surroundings: Surroundings
) -> tuple[Finding, ...]:
    """The warnings about images, or the bases of those to be built, on what they will run on; read-only.

    Raises DeployError when one does not fit, UsageError where a service has no base.
    """
    images = {one.service: ImageReference.parse(one.image) for one in deployment.workloads}
    if any(image.digest == UNBUILT for image in images.values()):
        wanted = resolve_bases(bento.manifest, building, surroundings.environment)
        images = {name: wanted[name] if image.digest == UNBUILT else image for name, image in images.items()}
    return _refuse_mistakes(tuple(check_images(bento, deployment, images, surroundings)), "the images have")


def _refuse_mistakes(found: tuple[Finding, ...], what: str) -> tuple[Finding, ...]:
    if errors := [finding for finding in found if not finding.warning]:
        count = "a mistake" if len(errors) == 1 else f"{len(errors)} mistakes"
        raise DeployError(f"{what} {count}: {errors[0]}", [f"{finding}." for finding in errors[1:]])
    return found


def format_files(target: DeployTarget, manifests: Manifests, deployment: Deployment, form: str) -> Mapping[str, str]:
    """Names and texts of files in a form: one for each object, or a tree of the target's. Raises UsageError."""
    if form not in manifest_files.TREES:
        return manifest_files.render_per_object(manifests, form)
    if not isinstance(target, WritesTrees) or form not in target.trees:
        raise UsageError(f"the target `{deployment.target}` has no form `{form}`", ["Leave out --format."])
    return target.write_tree(form, manifests, deployment)
