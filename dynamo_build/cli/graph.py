"""`dynamo graph`: a picture of the services of a graph and their dependencies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dynamo_build.cli import console
from dynamo_build.cli.options import WorkingDirectory


def graph(
    target: Annotated[
        str,
        typer.Argument(
            metavar="[MODULE:SERVICE]", help="The graph's entry service. Default: the last bento built here."
        ),
    ] = "",
    tag: Annotated[str, typer.Option("--tag", metavar="TAG", help="Draw this bento of the store.")] = "",
    running: Annotated[
        bool, typer.Option("--running", help="Draw the running graph, with health and request rates.")
    ] = False,
    form: Annotated[
        str, typer.Option("--format", metavar="tree|svg|mermaid|dot|json|html", help="Format of the picture.")
    ] = "tree",
    output_file: Annotated[
        str, typer.Option("--output-file", metavar="FILE", help="Write to a file; its suffix sets the format.")
    ] = "",
    working_dir: WorkingDirectory = ".",
) -> None:
    """Draw a graph: its services, edges, endpoints, resources and images.

    The picture is written to stdout or a file. The HTML page makes no network requests.

    Example: dynamo graph hello_world:Frontend --output-file graph.html
    """
    from dynamo_build.pipeline.draw import DrawOptions, draw
    from dynamo_build.system import atomic

    options = DrawOptions(target=target, tag=tag, running=running, form=form, output_file=output_file)
    drawing = draw(Path(working_dir), options, console.listener(quiet=True))
    if not output_file:
        print(drawing.text, end="")
        return
    atomic.put(Path(output_file), drawing.text)
    console.say(f"{output_file}: {len(drawing.graph.services)} services")
