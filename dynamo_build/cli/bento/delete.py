"""`dynamo delete`: delete bentos from the store."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dynamo_build.cli import console
from dynamo_build.cli.options import OutputForm, checked_output


def delete(
    tags: Annotated[list[str], typer.Argument(metavar="TAG...", help="`name:version`, or `name` with --all.")],
    every: Annotated[bool, typer.Option("--all", help="Delete all versions of these names.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    output: OutputForm = "text",
) -> None:
    """Delete bentos from the store.

    Example: dynamo delete frontend:kq2xw5mplz7rbn4t --yes
    """
    from dynamo_build.bento.store import Store
    from dynamo_build.bento.upkeep import select_versions
    from dynamo_build.errors import UsageError
    from dynamo_build.seams import default_home

    checked_output(output)
    store = Store(default_home())
    wanted = select_versions(store, tags, every=every)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("deletion needs a confirmation, and there is no terminal", ["Add `--yes`."])
        typer.confirm(f"Delete {', '.join(wanted)}?", abort=True, err=True)
    deleted = [store.delete(tag) for tag in wanted]
    console.emit(deleted, output, text="\n".join(f"deleted {tag}" for tag in deleted), name="\n".join(deleted))
