"""Options that several commands share."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from dynamo_build.errors import UsageError

Target = Annotated[str, typer.Argument(metavar="MODULE:SERVICE", help="The graph's entry service.")]
Tag = Annotated[
    str,
    typer.Argument(
        metavar="[TAG]", help="A bento, `name` or `name:version`. Default: the last one built in this folder."
    ),
]
OutputForm = Annotated[str, typer.Option("--output", "-o", metavar="text|json|yaml|name", help="Output format.")]
ConfigFile = Annotated[
    str, typer.Option("--config-file", "-f", metavar="FILE", help="YAML with a section per service.")
]
WorkingDirectory = Annotated[
    str, typer.Option("--working-dir", metavar="DIR", help="The project folder. Default: the current one.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]

_OUTPUTS = ("text", "json", "yaml", "name")


def checked_output(output: str) -> str:
    """The output form, refused before any work is done. Raises UsageError."""
    if output not in _OUTPUTS:
        raise UsageError(f"`{output}` is not an output format", ["Use text, json, yaml or name."])
    return output


def split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """What is the command's own, and what sets keys of services: `--Service.key=value`, wherever it stands."""
    from dynamo.sdk.arguments import is_value

    own: list[str] = []
    theirs: list[str] = []
    at = 0
    while at < len(arguments) and arguments[at] != "--":
        argument, following = arguments[at], arguments[at + 1 : at + 2]
        taken = 1
        if not re.match(r"--[A-Za-z_]\w*\.", argument):
            own.append(argument)
        else:
            if "=" not in argument and following:
                taken += 2 if following == ["="] else int(is_value(following[0]))
            theirs += arguments[at : at + taken]
        at += taken
    own += arguments[at:]
    return own, theirs


class ServiceCommand(TyperCommand):
    """A command that takes `--Service.key=value` besides its own options; they are `context.args`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own, theirs = split(args)
        super().parse_args(ctx, own)
        ctx.args = theirs
        return theirs


def seconds(text: str) -> float:
    """`90s`, `30m`, `2h` or a bare number of seconds. Raises UsageError."""
    number, unit = (text[:-1], text[-1]) if text and text[-1] in "smh" else (text, "s")
    if not (number.isascii() and number.isdigit()) or int(number) == 0:
        raise UsageError(f"`{text}` is not a time", ["Write such as 90s, 30m or 2h."])
    return float(int(number) * {"s": 1, "m": 60, "h": 3600}[unit])
