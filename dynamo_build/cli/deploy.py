"""`dynamo deploy`: a bento into manifests, and onto a cluster when asked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dynamo_build.cli import console
from dynamo_build.cli.options import ConfigFile, OutputForm, Quiet, ServiceCommand, Tag, checked_output, seconds

if TYPE_CHECKING:
    from dynamo_build.model.deployment import Deployment, Manifests, SecretReference
    from dynamo_build.model.image import ContainerizeOptions
    from dynamo_build.project.settings import Settings

command_class = ServiceCommand
_Repeated = list[str] | None


def deploy(
    context: typer.Context,
    tag: Tag = "",
    target: Annotated[str, typer.Option(metavar="k8s|dynamo-crd|compose", help="Where it runs. Default: k8s.")] = "",
    name: Annotated[str, typer.Option(help="The deployment's name. Default: the bento's.")] = "",
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="The namespace. Default: default.")] = "",
    set_image: Annotated[
        _Repeated,
        typer.Option("--set-image", "--image", metavar="[SERVICE=]REF@DIGEST", help="An image (repeatable)."),
    ] = None,
    registry: Annotated[
        str, typer.Option(envvar="DYNAMO_REGISTRY", metavar="HOST[/PATH]", help="Where to push what is missing.")
    ] = "",
    base: Annotated[_Repeated, typer.Option(metavar="[SERVICE=]REF", help="Base image, to build.")] = None,
    insecure: Annotated[_Repeated, typer.Option(metavar="HOST", help="Allow plain HTTP to this registry.")] = None,
    config_file: ConfigFile = "",
    env: Annotated[_Repeated, typer.Option("--env", "-e", metavar="K=V", help="A variable (repeatable).")] = None,
    env_from_secret: Annotated[
        _Repeated, typer.Option(metavar="K=SECRET/KEY", help="A variable from a Secret (repeatable).")
    ] = None,
    nats: Annotated[str, typer.Option(metavar="URL", help="An existing NATS. Default: one for the deployment.")] = "",
    nats_image: Annotated[str, typer.Option(metavar="REF", help="Image of the deployment's NATS.")] = "",
    option: Annotated[
        _Repeated, typer.Option(metavar="NAME=VALUE", help="A setting of the target (repeatable).")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="yaml|json|kustomize|helm", help="Form of the manifests.")
    ] = "yaml",
    output_dir: Annotated[str, typer.Option(metavar="DIR", help="Write a file per object there instead.")] = "",
    check: Annotated[
        bool, typer.Option("--check", help="Check against the API's schema too, offline, and look at the images.")
    ] = False,
    kubernetes_version: Annotated[
        str, typer.Option(metavar="1.N", help="The cluster's version, for the checks. Default: all that are supported.")
    ] = "",
    verify_key: Annotated[
        str, typer.Option(metavar="FILE", help="Only images that the owner of this public key has signed.")
    ] = "",
    diff: Annotated[bool, typer.Option("--diff", help="Show what an apply would change, and stop.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan: build, push and apply nothing.")] = False,
    server_dry_run: Annotated[bool, typer.Option("--server-dry-run", help="Ask the cluster, change nothing.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Apply to the cluster.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Apply, and wait until all is ready.")] = False,
    timeout: Annotated[str, typer.Option(metavar="TIME", help="How long to wait, such as 90s or 30m.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Take fields that other tools own.")] = False,
    prune: Annotated[bool, typer.Option("--prune/--no-prune", help="Remove what the graph no longer has.")] = True,
    prune_claims: Annotated[bool, typer.Option("--prune-claims", help="Remove volumes too, with their data.")] = False,
    cluster: Annotated[str, typer.Option("--context", metavar="NAME", help="Context of the kubeconfig.")] = "",
    output: OutputForm = "text",
    quiet: Quiet = False,
) -> None:
    """Render the manifests of a bento to stdout; with --apply (or --wait), apply them to the cluster.

    What is missing is built and pushed to the registry first, for --diff and --server-dry-run too, since digests are
    part of what is compared; only --dry-run pushes nothing. The same image is pushed once. A service's setting is given
    as `--Service.key=value`. Defaults stand in `[tool.dynamo.deploy]` of pyproject.toml.

    Example: dynamo deploy frontend --registry registry.example/team > frontend.yaml
    """
    from dynamo_build import catalog
    from dynamo_build.deploy.kubernetes.objects import files
    from dynamo_build.deploy.place import PlaceOptions
    from dynamo_build.events import Noted, Warned
    from dynamo_build.pipeline import deploy as pipeline
    from dynamo_build.project import settings

    checked_output(output)
    files.checked_form(form, output_dir)
    listener = console.listener(quiet)
    limit = seconds(timeout) if timeout else 0.0
    arguments = tuple(context.args)
    given = {"target": target, "name": name, "namespace": namespace, "registry": registry, "nats": nats}
    flags = {f"deploy.{key}": value or None for key, value in {**given, "context": cluster}.items()}
    declared = settings.load(Path.cwd(), os.environ, flags)
    how = _how(declared["deploy.context"], force, "claims" if prune_claims else "" if prune else "no", server_dry_run)
    around = replace(catalog.surroundings(insecure=tuple(insecure or ())), options=how)
    catalog.target(declared["deploy.target"], around)
    placing = PlaceOptions(
        name=declared["deploy.name"],
        namespace=declared["deploy.namespace"],
        target=catalog.ALIASES.get(declared["deploy.target"], declared["deploy.target"]),
        environment=settings.pairs(env or [], "--env"),
        secrets=tuple(_secret(item) for item in env_from_secret or ()),
        nats=declared["deploy.nats"],
        options=_target_options(declared, target, option or [], nats_image),
    )
    bento = pipeline.chosen(tag, Path.cwd(), around, listener)
    config = pipeline.configure(bento.manifest.graph, config_file, arguments, listener)
    placing = replace(placing, config=config)
    named, building = tuple(set_image or ()), _containerize(declared, base)
    # All that needs no registry and no cluster first: nothing is pushed for a deployment that cannot be.
    found = pipeline.images(bento, named, building, around, listener, push=False)
    deployment, manifests = pipeline.place(bento, found, placing, around)
    warnings = pipeline.check(manifests, strict=check, kubernetes=kubernetes_version)
    for warning in (*warnings, *(pipeline.fit(bento, deployment, building, around) if check else ())):
        listener(Warned(text=str(warning)))
    if dry_run:
        result = _result(deployment, manifests, "planned")
        console.emit(result, output, text=lambda: _plan(deployment, manifests), name=manifests.deployment)
        return
    applying = apply or wait or server_dry_run
    if applying or diff:
        pipeline.reach(manifests, around)
    pushed = pipeline.images(bento, named, building, around, listener)
    pipeline.signed(pushed.values(), verify_key, around)
    if pushed != found:
        deployment, manifests = pipeline.place(bento, pushed, placing, around)
    if diff:
        lines = pipeline.diff(manifests, around)
        console.emit(lines, output, text="\n".join(lines) or "nothing would change", name=manifests.deployment)
        return
    written: tuple[Path, ...] = ()
    if output_dir:
        written = files.write(pipeline.texts(manifests, deployment, form, around), Path(output_dir))
    if written:
        listener(Noted(text=f"wrote {len(written)} files"))
    state = "rendered"
    if applying:
        if wait:
            budget = limit or max(workload.startup for workload in deployment.workloads) + 600.0
            around = replace(around, options={**around.options, "wait": str(budget)})
        pipeline.apply(manifests, around, listener)
        state = "checked" if server_dry_run else "ready" if wait else "applied"
    if output == "text" and not applying:
        print(f"{output_dir}\n" if output_dir else files.rendered(manifests, form), end="")
        return
    result = _result(deployment, manifests, state, tuple(str(path) for path in written))
    console.emit(result, output, text=manifests.deployment, name=manifests.deployment)


def _target_options(declared: Settings, target: str, given: list[str], nats_image: str) -> dict[str, Any]:
    """The project's options are those of its own target; a flag is taken over them."""
    from dynamo_build.project import settings

    ours = not target or settings.load(Path.cwd(), os.environ, {})["deploy.target"] == target
    found: dict[str, Any] = dict(declared["deploy.options"]) if ours else {}
    found = {key.replace("_", "-"): value for key, value in found.items()}
    flags = {key.replace("_", "-"): value for key, value in settings.pairs(given, "--option").items()}
    return {**found, **flags, **({"nats-image": nats_image} if nats_image else {})}


def _how(context: str, force: bool, prune: str, server_dry_run: bool) -> dict[str, str]:
    chosen = {"context": context, "force": "yes" * force, "dry-run": "yes" * server_dry_run, "prune": prune}
    return {name: value for name, value in chosen.items() if value}


def _containerize(declared: Settings, base: list[str] | None) -> ContainerizeOptions:
    from dynamo_build.model.image import ContainerizeOptions

    registry = str(declared["deploy.registry"]).rstrip("/")
    return ContainerizeOptions(bases=tuple(base or ()), base=str(declared["image.base"]), registry=registry)


def _secret(text: str) -> SecretReference:
    from dynamo_build.errors import UsageError
    from dynamo_build.model.deployment import SecretReference

    variable, _, place = text.partition("=")
    secret, _, key = place.partition("/")
    if not (variable and secret and key):
        raise UsageError(f"`{text}` is not K=SECRET/KEY", ["Write such as HF_TOKEN=hugging-face/token."])
    return SecretReference(variable=variable, secret=secret, key=key)


def _result(deployment: Deployment, manifests: Manifests, state: str, files: tuple[str, ...] = ()) -> dict[str, Any]:
    """What happened, for programs: `state` is planned, rendered, checked, applied or ready."""
    return {
        "deployment": manifests.deployment,
        "namespace": manifests.namespace,
        "target": manifests.target,
        "bento": deployment.bento,
        "state": state,
        "services": [
            {"service": workload.service, "image": workload.image, "replicas": workload.replicas}
            for workload in deployment.workloads
        ],
        "objects": [_object(item.document) for item in manifests.items],
        "files": list(files),
    }


def _object(document: Mapping[str, Any]) -> str:
    return f"{document['kind']}/{document['metadata']['name']}" if "kind" in document else "compose file"


def _plan(deployment: Deployment, manifests: Manifests) -> str:
    from dynamo_build.deploy.place import UNBUILT

    lines = [f"{manifests.deployment} from {deployment.bento}, target {manifests.target}"]
    for workload in deployment.workloads:
        image, _, digest = workload.image.partition("@")
        known = f"{image} (to be pushed)" if digest == UNBUILT else workload.image
        lines.append(f"  {workload.service} × {workload.replicas}  {known}")
    kinds: dict[str, int] = {}
    for item in manifests.items:
        kind = str(item.document.get("kind", "compose file"))
        kinds[kind] = kinds.get(kind, 0) + 1
    return "\n".join([*lines, "  " + ", ".join(f"{count} {kind}" for kind, count in kinds.items())])
