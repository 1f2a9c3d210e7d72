"""`dynamo gc`: free space in the store."""

from __future__ import annotations

from typing import Annotated

import typer

from dynamo_build.cli import console
from dynamo_build.cli.options import OutputForm, checked_output


def gc(
    keep: Annotated[
        int, typer.Option(min=0, metavar="N", help="Keep the N newest versions of each name; 0 keeps all.")
    ] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed, and stop.")] = False,
    output: OutputForm = "text",
) -> None:
    """Remove leftovers of interrupted builds; with --keep also all but the newest versions of each name.

    Example: dynamo gc --keep 3
    """
    from dynamo_build.bento.store import Store
    from dynamo_build.bento.upkeep import collect_garbage
    from dynamo_build.seams import default_home

    checked_output(output)
    garbage = collect_garbage(Store(default_home()), keep, dry_run=dry_run)
    verb = "would delete" if dry_run else "deleted"
    lines = [f"{verb} {tag}" for tag in garbage.deleted]
    if not dry_run:
        lines.append(f"{console.size(garbage.freed)} of unfinished work removed")
    text = "\n".join(lines) or "nothing to do"
    console.emit(garbage, output, text=text, name="\n".join(garbage.deleted))
