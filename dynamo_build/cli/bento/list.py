"""`dynamo list`: list the bentos in the store."""

from __future__ import annotations

from typing import Annotated

import typer

from dynamo_build.cli import console
from dynamo_build.cli.options import OutputForm, checked_output


def list(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="List only bentos of this name.")] = "",
    output: OutputForm = "text",
) -> None:
    """List the bentos in the store, newest first.

    Example: dynamo list -o json
    """
    from dynamo_build.bento.listing import summaries
    from dynamo_build.seams import default_home

    checked_output(output)
    found = tuple(item for item in summaries(default_home()) if not name or item.tag.partition(":")[0] == name)
    if output == "name":
        for item in found:
            print(item.tag)
        return
    width = max((len(item.tag) for item in found), default=3)

    def table() -> str:
        lines = [f"{'TAG':{width}}  {'SIZE':>10}  {'CREATED':19}  SERVICES"]
        for item in found:
            if item.broken:
                lines.append(f"{item.tag:{width}}  {'damaged':>10}  {item.broken}")
                continue
            created = item.created[:19].replace("T", " ")
            lines.append(f"{item.tag:{width}}  {console.size(item.size):>10}  {created:19}  {', '.join(item.services)}")
        return "\n".join(lines)

    if output == "text" and not found:
        console.say("the store holds no bento" + (f" called `{name}`" if name else ""))
        return
    console.emit(found, output, text=table)
