"""`dynamo containerize`: build an image from a bento."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dynamo_build.cli import console
from dynamo_build.cli.options import OutputForm, Quiet, Tag, checked_output

if TYPE_CHECKING:
    from dynamo_build.model.image import Destination, Image, ImagePlan


def containerize(
    tag: Tag = "",
    base: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[SERVICE=]REF",
            help="Base image, or oci:FOLDER[:TAG] (repeatable). Default: $DYNAMO_IMAGE, settings.",
        ),
    ] = None,
    image_tag: Annotated[
        list[str] | None, typer.Option("--image-tag", "-t", metavar="REF", help="Name of the image (repeatable).")
    ] = None,
    push: Annotated[bool, typer.Option("--push", help="Push to the registry.")] = False,
    registry: Annotated[str, typer.Option(metavar="HOST", help="Registry for names without a host.")] = "",
    output_dir: Annotated[
        str, typer.Option(metavar="DIR", help="Write an OCI image layout to this folder instead.")
    ] = "",
    builder: Annotated[
        str, typer.Option(metavar="oci|docker|buildah|podman|auto", help="The image builder, or an installed one.")
    ] = "oci",
    platform: Annotated[
        str, typer.Option(metavar="OS/ARCH[,...]", help="Several make an index. Default: this machine's.")
    ] = "",
    bytecode: Annotated[
        str, typer.Option(metavar="auto|none|require", help="Compile modules with the base's exact Python.")
    ] = "auto",
    compression: Annotated[
        str,
        typer.Option(
            metavar="gzip|zlib|zstd", help="gzip is fastest, zlib smaller; zstd is both, if engines support it."
        ),
    ] = "gzip",
    cache_from: Annotated[
        list[str] | None,
        typer.Option(metavar="REF|none", help="Also reuse layers of that image. Default: the repository's last."),
    ] = None,
    cache_to: Annotated[
        str, typer.Option(metavar="TAG|none", help="Tag that marks the last image. Default: dynamo-cache-ARCH.")
    ] = "",
    allow_override: Annotated[
        bool, typer.Option("--allow-override", help="Replace other versions of packages in the base.")
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=0, help="Layers built in parallel. Default: all cores.")] = 0,
    budget: Annotated[str, typer.Option(metavar="SIZE", help="Fail if the image is larger, such as 500MB.")] = "",
    attest: Annotated[bool, typer.Option("--attest", help="Attach an SBOM and SLSA provenance to the image.")] = False,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            metavar="id=NAME,src=FILE|env=VAR",
            help="Secret for package installation and setup commands; never in the image (repeatable).",
        ),
    ] = None,
    insecure: Annotated[
        list[str] | None, typer.Option(metavar="HOST", help="Allow plain HTTP to a registry that is not on loopback.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, and stop.")] = False,
    output: OutputForm = "text",
    quiet: Quiet = False,
) -> None:
    """Build an image from a bento, for a registry (--push), a folder (--output-dir) or the local engine.

    The default builder needs neither a daemon nor root. The same bento and base always give the same image.

    Example: dynamo containerize frontend --base registry.example/base:1 -t registry.example/team/frontend:1 --push
    """
    import os

    from dynamo_build import catalog
    from dynamo_build.bento import store
    from dynamo_build.model.image import ContainerizeOptions
    from dynamo_build.oci.budget import parsed
    from dynamo_build.pipeline import containerize
    from dynamo_build.project import settings

    checked_output(output)
    listener = console.listener(quiet or output != "text")
    around = catalog.surroundings(insecure=tuple(insecure or ()))
    bento = store.chosen(tag, Path.cwd(), around, listener)
    options = ContainerizeOptions(
        bases=tuple(base or ()),
        base=str(settings.load(Path.cwd(), os.environ, {})["image.base"]),
        builder=builder,
        platform=platform,
        references=tuple(image_tag or ()),
        registry=registry,
        push=push,
        folder=output_dir,
        bytecode=bytecode,
        compression=compression,
        cache_from=tuple(cache_from or ()),
        cache_to=cache_to,
        override=allow_override,
        jobs=jobs,
        budget=parsed(budget),
        attest=attest,
        secrets=tuple(secret or ()),
    )
    if dry_run:
        planned = containerize.plan_images(bento, options, around, listener)
        console.emit(
            [{"plan": plan, "to": to} for plan, to in planned], output, text=lambda: _plans(planned), name=bento.tag
        )
        return
    images = containerize.containerize(bento, options, around, listener)
    names = "\n".join(image.reference for image in images)
    console.emit(images[0] if len(images) == 1 else images, output, text=lambda: _images(images), name=names)


def _images(images: tuple[Image, ...]) -> str:
    lines = []
    for image in images:
        lines.append(f"{image.reference}  ({console.size(image.size)}, {image.platform})")
        if image.digest not in image.reference:
            lines.append(image.digest)
        for layer in image.layers:
            sent = "" if layer.sent else "  there already"
            lines.append(f"{console.size(layer.size):>12}  {layer.name or 'layer'}{sent}")
    return "\n".join(lines)


def _plans(planned: tuple[tuple[ImagePlan, Destination], ...]) -> str:
    lines = []
    for plan, to in planned:
        lines.append(f"{plan.name}:{plan.version} for {', '.join(plan.services)} ({plan.platform})")
        lines.append(f"  base   {plan.base}")
        lines += [f"  layer  {type(layer).__name__}" for layer in plan.layers]
        lines.append(f"  to     {to}")
    return "\n".join(lines)
