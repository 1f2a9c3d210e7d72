"""`dynamo gc`: room in the store."""

from __future__ import annotations

from typing import Annotated

import typer

from dynamo_build.cli import console
from dynamo_build.cli.options import OutputForm, checked_output


def gc(
    keep: Annotated[
        int, typer.Option(min=0, metavar="N", help="Keep the N newest versions of each name; 0 keeps all.")
    ] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go.")] = False,
    output: OutputForm = "text",
) -> None:
    """Remove what dead builds left behind; with --keep also all but the newest versions of each name.

    Example: dynamo gc --keep 3
    """
    from dynamo_build.bento.store import Store
    from dynamo_build.seams import default_home

    checked_output(output)
    store = Store(default_home())
    seen: dict[str, int] = {}
    old = []
    for item in store.list():
        name = item.tag.partition(":")[0]
        seen[name] = seen.get(name, 0) + 1
        if keep and seen[name] > keep and item.tag != f"{name}:{store.latest(name)}":
            old.append(item.tag)
    freed = 0
    if not dry_run:
        freed = store.clean()
        for tag in old:
            store.delete(tag)
    verb = "would delete" if dry_run else "deleted"
    lines = [f"{verb} {tag}" for tag in old] + (
        [] if dry_run else [f"{console.size(freed)} of unfinished work removed"]
    )
    console.emit(
        {"deleted": old, "freed": freed}, output, text="\n".join(lines) or "nothing to do", name="\n".join(old)
    )
