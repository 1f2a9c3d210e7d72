"""Options that the commands of `dynamo image` share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dynamo_build.seams import Surroundings

Reference = Annotated[str, typer.Argument(metavar="REF", help="HOST/PATH[:TAG][@DIGEST], or oci:FOLDER[:TAG].")]
Insecure = Annotated[
    list[str] | None, typer.Option(metavar="HOST", help="Allow plain HTTP to a registry that is not on loopback.")
]
ForPlatform = Annotated[str, typer.Option("--platform", metavar="OS/ARCH", help="The platform to take from an index.")]


def find_surroundings(insecure: list[str] | None) -> Surroundings:
    """The surroundings of a command; plain HTTP is allowed to the hosts in `insecure`."""
    from dynamo_build import catalog

    return catalog.surroundings(insecure=tuple(insecure or ()))
