"""`dynamo export` and `dynamo import`: a bento as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dynamo_build.cli import console
from dynamo_build.cli.options import OutputForm, Quiet, Tag, checked_output


def export(
    tag: Tag,
    target: Annotated[str, typer.Argument(metavar="[FILE]", help="A file or a folder.")] = ".",
    output: OutputForm = "text",
    quiet: Quiet = False,
) -> None:
    """Write a bento to one file. The same bento always gives the same bytes.

    Example: dynamo export frontend frontend.bento
    """
    from dynamo_build.bento import export
    from dynamo_build.bento.store import Store
    from dynamo_build.seams import default_home

    checked_output(output)
    path = export.export(Store(default_home()).get(tag), Path(target), console.listener(quiet or output != "text"))
    console.emit({"path": str(path)}, output, text=str(path), name=str(path))


def take(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file written by `dynamo export`.")],
    output: OutputForm = "text",
    quiet: Quiet = False,
) -> None:
    """Import a bento from a file into the store, after verifying its digests.

    Example: dynamo import frontend.bento
    """
    from dynamo_build.bento import export
    from dynamo_build.bento.store import Store
    from dynamo_build.seams import default_home

    checked_output(output)
    bento = export.take(Path(file), Store(default_home()), on=console.listener(quiet or output != "text"))
    console.emit(bento, output, text=f"{bento.tag}\n{bento.folder}", name=bento.tag)
