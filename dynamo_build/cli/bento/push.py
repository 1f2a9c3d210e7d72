"""`dynamo push` and `dynamo pull`: bentos in a registry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dynamo_build.cli import console
from dynamo_build.cli.options import OutputForm, Quiet, checked_output

Insecure = Annotated[
    list[str] | None, typer.Option(metavar="HOST", help="Allow plain HTTP to a registry that is not on loopback.")
]


def push(
    tag: Annotated[str, typer.Argument(metavar="TAG", help="A bento.")],
    reference: Annotated[str, typer.Argument(metavar="REF", help="The target: HOST/PATH[:TAG] or oci:FOLDER[:TAG].")],
    insecure: Insecure = None,
    output: OutputForm = "text",
    quiet: Quiet = False,
) -> None:
    """Push a bento to a registry, as an OCI artifact. The default tag is the bento's version.

    Example: dynamo push frontend registry.example/bentos/frontend
    """
    from dataclasses import replace

    from dynamo_build import catalog
    from dynamo_build.bento import registry
    from dynamo_build.bento.store import chosen, store
    from dynamo_build.model.reference import ImageReference

    checked_output(output)
    around = catalog.surroundings(insecure=tuple(insecure or ()))
    listener = console.listener(quiet or output != "text")
    bento = chosen(tag, Path.cwd(), around, listener)
    to = ImageReference.parse(reference)
    to = to if to.tag else replace(to, tag=bento.manifest.version)
    named = registry.push(bento, to, around.registry(to), store(around), listener)
    console.emit({"tag": bento.tag, "reference": named}, output, text=named, name=named)


def pull(
    reference: Annotated[str, typer.Argument(metavar="REF", help="The reference printed by `dynamo push`, or a tag.")],
    insecure: Insecure = None,
    output: OutputForm = "text",
) -> None:
    """Pull a bento from a registry into the store, after verifying its digests.

    Example: dynamo pull registry.example/bentos/frontend:kq2xw5mplz7rbn4t
    """
    from dynamo_build import catalog
    from dynamo_build.bento import registry
    from dynamo_build.bento.store import store
    from dynamo_build.model.reference import ImageReference

    checked_output(output)
    around = catalog.surroundings(insecure=tuple(insecure or ()))
    wanted = ImageReference.parse(reference)
    bento = registry.pull(wanted, around.registry(wanted), store(around))
    console.emit(bento, output, text=f"{bento.tag}\n{bento.folder}", name=bento.tag)
