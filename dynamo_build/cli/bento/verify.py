"""`dynamo verify`: check bentos against their digests."""

from __future__ import annotations

from typing import Annotated

import typer

from dynamo_build.cli import console
from dynamo_build.cli.options import OutputForm, checked_output


def verify(
    tags: Annotated[list[str] | None, typer.Argument(metavar="[TAG...]", help="Default: all bentos.")] = None,
    output: OutputForm = "text",
) -> None:
    """Check every file of a bento against its digest, and list changed, missing and added files.

    Example: dynamo verify frontend
    """
    from dynamo_build.bento.store import Store
    from dynamo_build.bento.upkeep import verify_bentos
    from dynamo_build.errors import StoreError
    from dynamo_build.seams import default_home

    checked_output(output)
    problems = verify_bentos(Store(default_home()), tags or ())
    lines = [f"{tag}: {'; '.join(found) if found else 'as it was built'}" for tag, found in problems.items()]
    damaged = [tag for tag, found in problems.items() if found]
    console.emit(problems, output, text="\n".join(lines) or "the store holds no bento", name="\n".join(damaged))
    if damaged:
        count = f"{len(damaged)} bentos are" if len(damaged) > 1 else f"the bento `{damaged[0]}` is"
        raise StoreError(f"{count} damaged", ["Delete it with `dynamo delete TAG`, and build or import it again."])
