"""`dynamo deploy`: a bento into manifests, and onto a cluster when asked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dynamo_build import catalog
from dynamo_build.cli import console
from dynamo_build.cli.options import ConfigFile, OutputForm, Quiet, ServiceCommand, Tag, check_output, parse_seconds
from dynamo_build.model.deployment import DEFAULT_TARGET

if TYPE_CHECKING:
    from dynamo_build.model.deployment import Deployment, Manifest, Manifests, SecretReference
    from dynamo_build.model.image import ContainerizeOptions
    from dynamo_build.pipeline.deploy import Deployed
    from dynamo_build.project.settings import Settings

command_class = ServiceCommand
_Repeated = list[str] | None


def deploy(
    context: typer.Context,
    tag: Tag = "",
    target: Annotated[
        str, typer.Option(metavar="|".join(catalog.TARGETS), help=f"Where it runs. Default: {DEFAULT_TARGET}.")
    ] = "",
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
    from dynamo_build.bento.store import select_bento
    from dynamo_build.deploy.kubernetes.objects import manifest_files
    from dynamo_build.deploy.place import PlaceOptions
    from dynamo_build.pipeline.deploy import DeployOptions
    from dynamo_build.pipeline.deploy import deploy as run
    from dynamo_build.project import settings
    from dynamo_build.seams import ApplyOptions

    check_output(output)
    manifest_files.check_form(form, output_dir)
    listener = console.create_listener(quiet)
    limit = parse_seconds(timeout) if timeout else 0.0
    given = {"target": target, "name": name, "namespace": namespace, "registry": registry, "nats": nats}
    flags = {f"deploy.{key}": value or None for key, value in {**given, "context": cluster}.items()}
    declared = settings.load_settings(Path.cwd(), os.environ, flags)
    around = catalog.default_surroundings(insecure=tuple(insecure or ()))
    catalog.find_target(declared["deploy.target"], around)
    applying = apply or wait or server_dry_run
    options = DeployOptions(
        place=PlaceOptions(
            name=declared["deploy.name"],
            namespace=declared["deploy.namespace"],
            target=declared["deploy.target"],
            environment=settings.parse_pairs(env or [], "--env"),
            secrets=tuple(_parse_secret(item) for item in env_from_secret or ()),
            nats=declared["deploy.nats"],
            options=_target_options(declared, target, option or [], nats_image),
        ),
        images=tuple(set_image or ()),
        containerize=_build_containerize_options(declared, base),
        config_file=config_file,
        arguments=tuple(context.args),
        form=form,
        output_dir=output_dir,
        check=check,
        kubernetes_version=kubernetes_version,
        verify_key=verify_key,
        until="plan" if dry_run else "diff" if diff else "apply" if applying else "render",
        wait=wait,
        applying=ApplyOptions(
            context=declared["deploy.context"],
            force=force,
            prune="claims" if prune_claims else "objects" if prune else "nothing",
            dry_run=server_dry_run,
            wait=limit,
        ),
    )
    done = run(select_bento(tag, Path.cwd(), around, listener), options, listener, around)
    manifests = done.manifests
    if done.state == "compared":
        console.print_result(
            done.changes, output, text="\n".join(done.changes) or "nothing would change", name=manifests.deployment
        )
    elif done.state == "planned":
        console.print_result(
            _build_result(done),
            output,
            text=lambda: _format_plan(done.deployment, manifests),
            name=manifests.deployment,
        )
    elif output == "text" and done.state == "rendered":
        print(f"{output_dir}\n" if output_dir else manifest_files.render_manifests(manifests, form), end="")
    else:
        console.print_result(_build_result(done), output, text=manifests.deployment, name=manifests.deployment)


def _target_options(declared: Settings, target: str, given: list[str], nats_image: str) -> dict[str, Any]:
    """The project's options are those of its own target; a flag is taken over them."""
    from dynamo_build.project import settings

    ours = not target or settings.load_settings(Path.cwd(), os.environ, {})["deploy.target"] == target
    found: dict[str, Any] = dict(declared["deploy.options"]) if ours else {}
    found = {key.replace("_", "-"): value for key, value in found.items()}
    flags = {key.replace("_", "-"): value for key, value in settings.parse_pairs(given, "--option").items()}
    return {**found, **flags, **({"nats-image": nats_image} if nats_image else {})}


def _build_containerize_options(declared: Settings, base: list[str] | None) -> ContainerizeOptions:
    from dynamo_build.model.image import ContainerizeOptions

    registry = str(declared["deploy.registry"]).rstrip("/")
    return ContainerizeOptions(bases=tuple(base or ()), base=str(declared["image.base"]), registry=registry)


def _parse_secret(text: str) -> SecretReference:
    from dynamo_build.errors import UsageError
    from dynamo_build.model.deployment import SecretReference

    variable, _, place = text.partition("=")
    secret, _, key = place.partition("/")
    if not (variable and secret and key):
        raise UsageError(f"`{text}` is not K=SECRET/KEY", ["Write such as HF_TOKEN=hugging-face/token."])
    return SecretReference(variable=variable, secret=secret, key=key)


def _build_result(done: Deployed) -> dict[str, Any]:
    """The outcome for programs: `state` is planned, rendered, checked, applied or ready."""
    return {
        "deployment": done.manifests.deployment,
        "namespace": done.manifests.namespace,
        "target": done.manifests.target,
        "bento": done.deployment.bento,
        "state": done.state,
        "services": [
            {"service": workload.service, "image": workload.image, "replicas": workload.replicas}
            for workload in done.deployment.workloads
        ],
        "objects": [_format_object(item) for item in done.manifests.items],
        "files": [str(path) for path in done.files],
    }


def _format_object(item: Manifest) -> str:
    document = item.document
    if "kind" not in document:
        return f"{item.file} file"
    return f"{document['kind']}/{document.get('metadata', {}).get('name', '?')}"


def _format_plan(deployment: Deployment, manifests: Manifests) -> str:
    from dynamo_build.deploy.place import UNBUILT

    lines = [f"{manifests.deployment} from {deployment.bento}, target {manifests.target}"]
    for workload in deployment.workloads:
        image, _, digest = workload.image.partition("@")
        known = f"{image} (to be pushed)" if digest == UNBUILT else workload.image
        lines.append(f"  {workload.service} × {workload.replicas}  {known}")
    kinds: dict[str, int] = {}
    for item in manifests.items:
        kind = str(item.document.get("kind", f"{item.file} file"))
        kinds[kind] = kinds.get(kind, 0) + 1
    return "\n".join([*lines, "  " + ", ".join(f"{count} {kind}" for kind, count in kinds.items())])
