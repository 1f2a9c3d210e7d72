"""Options that several commands share."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from dynamo_build.errors import UsageError

#: For commands that take `--Service.key=value` besides their own options.
service_arguments = {"allow_extra_args": True, "ignore_unknown_options": True}

Target = Annotated[str, typer.Argument(metavar="MODULE:SERVICE", help="The graph's entry service.")]
Tag = Annotated[
    str,
    typer.Argument(
        metavar="[TAG]", help="A bento, `name` or `name:version`. Default: the last one built from this folder."
    ),
]
OutputForm = Annotated[str, typer.Option("--output", "-o", metavar="text|json|yaml|name", help="Form of the result.")]
ConfigFile = Annotated[
    str, typer.Option("--config-file", "-f", metavar="FILE", help="YAML with a section per service.")
]
WorkingDirectory = Annotated[
    str, typer.Option("--working-dir", metavar="DIR", help="The project folder. Default: here.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only what went wrong.")]

_OUTPUTS = ("text", "json", "yaml", "name")


def checked_output(output: str) -> str:
    """The output form, refused before any work is done. Raises UsageError."""
    if output not in _OUTPUTS:
        raise UsageError(f"`{output}` is not an output form", ["Use text, json, yaml or name."])
    return output


def checked_service_arguments(arguments: list[str]) -> list[str]:
    """The `--Service.key=value` arguments (or `--Service.key value`). Raises UsageError for anything else."""
    expects_value = False
    for argument in arguments:
        if expects_value and not re.match(r"--[A-Za-z_]\w*\.", argument):
            expects_value = False
            continue
        if not re.match(r"--[A-Za-z_]\w*\.", argument):
            kind = "option" if argument.startswith("-") else "argument"
            raise UsageError(
                f"unknown {kind} `{argument}`", ["See `--help`; a service's setting is written `--Service.key=value`."]
            )
        expects_value = "=" not in argument
    return arguments


def seconds(text: str) -> float:
    """`90s`, `30m`, `2h` or a bare number of seconds. Raises UsageError."""
    number, unit = (text[:-1], text[-1]) if text and text[-1] in "smh" else (text, "s")
    if not (number.isascii() and number.isdigit()) or int(number) == 0:
        raise UsageError(f"`{text}` is not a time", ["Write such as 90s, 30m or 2h."])
    return float(int(number) * {"s": 1, "m": 60, "h": 3600}[unit])
