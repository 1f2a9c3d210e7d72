"""`dynamo build`: package a graph as a bento."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dynamo_build.cli import console
from dynamo_build.cli.options import ConfigFile, OutputForm, Quiet, ServiceCommand, Target, checked_output

if TYPE_CHECKING:
    from dynamo_build.model.plan import BuildPlan

_LARGEST = 20

command_class = ServiceCommand


def build(
    context: typer.Context,
    target: Target,
    working_dir: Annotated[str, typer.Option("--working-dir", metavar="DIR", help="The project folder.")] = ".",
    config_file: ConfigFile = "",
    name: Annotated[
        str | None, typer.Option(help="The bento's name. Default: the entry service's, in lower case.")
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="The version. Default: derived from the content's digest.")
    ] = None,
    platform: Annotated[
        str | None, typer.Option(metavar="LIST", help="Platforms to lock for, comma-separated. Default: linux/amd64.")
    ] = None,
    python: Annotated[str | None, typer.Option(metavar="X.Y", help="The image's Python. Default: 3.11.")] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="A label (repeatable).")] = None,
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS", help="Time limit of the graph's import.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Treat warnings as errors.")] = False,
    upgrade: Annotated[bool, typer.Option("--upgrade", help="Lock the packages again.")] = False,
    locked: Annotated[bool, typer.Option("--locked", help="Fail if dynamo.lock is out of date.")] = False,
    locker: Annotated[
        str | None, typer.Option(metavar="NAME", help="The locker: uv, given or an installed one.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Lock from uv's cache, without network.")] = False,
    rehash: Annotated[
        bool, typer.Option("--rehash", help="Read every file again, even if its size, times and inode are unchanged.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the files that would be packed, largest first, and stop.")
    ] = False,
    show_config: Annotated[
        bool, typer.Option("--show-config", help="Print each value of the configuration with its source, and stop.")
    ] = False,
    output: OutputForm = "text",
    quiet: Quiet = False,
) -> None:
    """Package a graph as a versioned bento: its files, packages, configuration and runtime.

    The version is derived from the content's digest: the same input gives the same version on any machine. Set a
    service's configuration with `--Service.key=value`.

    Example: dynamo build hello_world:Frontend -f config.yaml
    """
    import os

    from dynamo_build.errors import UsageError
    from dynamo_build.events import Warned
    from dynamo_build.pipeline import build
    from dynamo_build.project import settings

    checked_output(output)
    project = Path(working_dir)
    if not project.is_dir():
        raise UsageError(f"`{working_dir}` is not a folder", ["Name the folder that holds the graph's module."])
    flags: dict[str, Any] = {
        "build.name": name,
        "build.version": version,
        "build.platforms": [part.strip() for part in platform.split(",")] if platform else None,
        "build.python": python,
        "build.labels": settings.pairs(label, "--label") if label else None,
        "build.timeout": timeout,
        "build.config_file": config_file or None,
        "build.strict": strict or None,
        "build.upgrade": upgrade or None,
        "build.locked": locked or None,
        "build.locker": locker,
        "build.offline": offline or None,
        "build.rehash": rehash or None,
    }
    chosen = settings.load(project, os.environ, flags)
    options = chosen.build_options(arguments=tuple(context.args))
    listener = console.listener(quiet or output != "text")
    for note in chosen.notes:
        listener(Warned(text=note))
    if show_config:
        from dynamo_build.graph.config import table

        values = build.show_config(target, project, options, listener)
        console.emit(values, output, text=lambda: table(values))
        return
    if dry_run:
        planned = build.plan_build(target, project, options, listener)
        console.emit(planned, output, text=lambda: _files(planned), name=planned.name)
        return
    bento = build.build(target, project, options, listener)
    size = console.size(bento.manifest.files_size)
    count = bento.manifest.files_count
    text = f"{bento.tag}  ({count} file{'s' * (count != 1)}, {size})\n{bento.folder}"
    console.emit(bento, output, text=text, name=bento.tag)


def _files(planned: BuildPlan) -> str:
    largest = sorted(planned.files, key=lambda file: (-file.size, file.path))
    lines = [f"{console.size(file.size):>12}  {file.path}" for file in largest[:_LARGEST]]
    if len(largest) > _LARGEST:
        rest = sum(file.size for file in largest[_LARGEST:])
        lines.append(f"{console.size(rest):>12}  … {len(largest) - _LARGEST} more")
    lines.append(f"{console.size(planned.size):>12}  {len(largest)} files")
    return "\n".join(lines)
