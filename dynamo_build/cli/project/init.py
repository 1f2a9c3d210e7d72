"""`dynamo init`: create a project from a template."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dynamo_build.cli import console
from dynamo_build.cli.options import OutputForm, checked_output


def init(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Folder of the project; created if missing.")],
    template: Annotated[
        str, typer.Option("--template", "-t", metavar="hello|worker|llm", help="The template.")
    ] = "hello",
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="The project's name. Default: the folder's.")
    ] = "",
    output: OutputForm = "text",
) -> None:
    """Create a project that is ready to serve, build and deploy. Existing files are never overwritten.

    Example: dynamo init my_graph --template worker
    """
    from dynamo_build.project.scaffold import scaffold

    checked_output(output)
    files = [str(path) for path in scaffold(Path(folder), template, name)]
    module = next(Path(path).stem for path in files if path.endswith(".py"))
    console.emit({"folder": folder, "files": files}, output, text="\n".join(files), name=folder)
    step = f"cd {folder} && " if Path(folder) != Path() else ""
    console.say(f"next: {step}dynamo serve {module}:Frontend -f config.yaml")
