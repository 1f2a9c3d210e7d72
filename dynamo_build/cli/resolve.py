"""`dynamo resolve`: any YAML that mentions services of bentos, with images by digest in their place."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from dynamo_build.cli import console
from dynamo_build.cli.options import Quiet

_Repeated = list[str] | None


def resolve(
    files: Annotated[
        list[str], typer.Option("--filename", "-f", metavar="FILE", help="A YAML file, or `-` for stdin (repeatable).")
    ],
    registry: Annotated[
        str, typer.Option(envvar="DYNAMO_REGISTRY", metavar="HOST[/PATH]", help="Where to push what is missing.")
    ] = "",
    base: Annotated[_Repeated, typer.Option(metavar="[SERVICE=]REF", help="Base image, to build.")] = None,
    set_image: Annotated[
        _Repeated, typer.Option("--set-image", metavar="[SERVICE=]REF@DIGEST", help="An image (repeatable).")
    ] = None,
    insecure: Annotated[_Repeated, typer.Option(metavar="HOST", help="Allow plain HTTP to this registry.")] = None,
    quiet: Quiet = False,
) -> None:
    """Write each `dynamo://name:version/Service` of the files as an image by its digest, to stdout.

    What is missing is built and pushed first, as `dynamo deploy` does. All else stays as it is, comments too.

    Example: dynamo resolve -f job.yaml --registry registry.example/team | kubectl apply -f -
    """
    from dynamo_build import catalog
    from dynamo_build.bento.store import chosen
    from dynamo_build.errors import UsageError
    from dynamo_build.events import Warned
    from dynamo_build.image.resolve import Mention, mentions, resolved
    from dynamo_build.model.image import ContainerizeOptions
    from dynamo_build.pipeline.deploy import DeployOptions, deliver_images
    from dynamo_build.project import settings

    declared = settings.load(Path.cwd(), os.environ, {"deploy.registry": registry or None})
    place = str(declared["deploy.registry"]).rstrip("/")
    building = ContainerizeOptions(bases=tuple(base or ()), base=str(declared["image.base"]), registry=place)
    options = DeployOptions(images=tuple(set_image or ()), containerize=building)
    around = catalog.surroundings(insecure=tuple(insecure or ()))
    listener = console.listener(quiet)
    texts = [(name, _read(name)) for name in files]
    found_in = {name: tuple(mentions(text, name)) for name, text in texts}
    for name in [name for name, found in found_in.items() if not found]:
        listener(Warned(text=f"`{name}` names no service as dynamo://NAME:VERSION/SERVICE, and stays as it is"))
    wanted = dict.fromkeys(mention for found in found_in.values() for mention in found)
    bentos = {(one.name, one.version): f"{one.name}:{one.version}".rstrip(":") for one in wanted}
    opened = {key: chosen(tag, Path.cwd(), around) for key, tag in bentos.items()}
    for mention in wanted:
        names = opened[mention.name, mention.version].manifest.graph.names
        if mention.service not in names:
            raise UsageError(f"`{mention}` names no service of the graph", [f"It has {', '.join(names)}."])
    images: dict[Mention, str] = {}
    for key, bento in opened.items():
        found = deliver_images(bento, options, around, listener)
        images |= {one: found[one.service] for one in wanted if (one.name, one.version) == key}
    parts = [resolved(text, images, name) for name, text in texts]
    print("---\n".join(part if part.endswith("\n") else f"{part}\n" for part in parts), end="")


def _read(name: str) -> str:
    from dynamo_build.errors import UsageError

    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"`{name}` is not a text in UTF-8") from error
    except OSError as error:
        raise UsageError(f"`{name}` cannot be read: {(error.strerror or str(error)).lower()}") from error
