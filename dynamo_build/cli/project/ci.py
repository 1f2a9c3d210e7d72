"""`dynamo ci`: pipelines that publish images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dynamo_build.cli import console
from dynamo_build.cli.options import ConfigFile, OutputForm, Target, WorkingDirectory, checked_output

group = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@group.callback(epilog="Example: dynamo ci init github hello_world:Frontend")
def ci() -> None:
    """Write pipelines that build, publish and deploy a graph."""


@group.command()
def init(
    form: Annotated[str, typer.Argument(metavar="github|gitlab", help="The CI system.")],
    target: Target,
    registry: Annotated[
        str, typer.Option(envvar="DYNAMO_REGISTRY", metavar="HOST/PATH", help="The registry to push images to.")
    ] = "registry.example/team",
    config_file: ConfigFile = "",
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    working_dir: WorkingDirectory = ".",
    output: OutputForm = "text",
) -> None:
    """Write a pipeline that builds from the lock, signs the image and deploys it by digest after a reviewed diff.

    Example: dynamo ci init github hello_world:Frontend --registry registry.example/team -f config.yaml
    """
    from dynamo_build import __version__
    from dynamo_build.project.ci import pipeline, write

    checked_output(output)
    wanted = pipeline(target, registry=registry, version=__version__, config_file=config_file)
    path = write(form, Path(working_dir), wanted, force=force)
    console.emit({"file": str(path)}, output, text=str(path), name=str(path))
    console.say("its first lines list the variables and secrets to set")
