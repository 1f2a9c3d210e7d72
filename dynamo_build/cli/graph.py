"""`dynamo graph`: a picture of the services and who calls whom, before a build or of a bento."""

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
            metavar="[MODULE:SERVICE]", help="The graph's entry service. Default: the bento built last from here."
        ),
    ] = "",
    tag: Annotated[str, typer.Option("--tag", metavar="TAG", help="Draw this bento of the store instead.")] = "",
    running: Annotated[
        bool, typer.Option("--running", help="Draw the graph that runs here, with its health and rates.")
    ] = False,
    form: Annotated[
        str, typer.Option("--format", metavar="tree|svg|mermaid|dot|json|html", help="Form of the picture.")
    ] = "tree",
    output_file: Annotated[
        str, typer.Option("--output-file", metavar="FILE", help="Write there; the form follows the file's ending.")
    ] = "",
    working_dir: WorkingDirectory = ".",
) -> None:
    """Draw a graph: its services, edges, endpoints, resources and images.

    The picture goes to stdout, or to a file. The page asks nothing of the network.

    Example: dynamo graph hello_world:Frontend --output-file graph.html
    """
    from dynamo.sdk import codec
    from dynamo_build.bento.store import chosen
    from dynamo_build.errors import UsageError
    from dynamo_build.graph.drawing import FORMS, NONE
    from dynamo_build.model.plan import BuildOptions
    from dynamo_build.pipeline.build import discover
    from dynamo_build.system import atomic

    endings = {".svg": "svg", ".html": "html", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".json": "json"}
    if output_file and form == "tree":
        form = endings.get(Path(output_file).suffix, form)
    if form not in (*FORMS, "json"):
        raise UsageError(f"`{form}` is not a form of picture", [f"Use {', '.join(FORMS)} or json."])
    if sum((bool(target), bool(tag), running)) > 1:
        raise UsageError("more than one of a graph, a bento and a running graph was named", ["Name one of them."])
    notes = NONE
    listener = console.listener(quiet=True)
    if running:
        from dynamo_build.local.dashboard import seen

        found, notes = seen()
    elif target:
        found = discover(target, Path(working_dir), BuildOptions(), on=listener)
    else:
        found = chosen(tag, Path(working_dir).resolve(), on=listener).manifest.graph
    text = (
        codec.pretty({**codec.plain(found), **({"now": notes} if notes else {})}) + "\n"
        if form == "json"
        else FORMS[form](found, notes)
    )
    if not output_file:
        print(text, end="")
        return
    atomic.put(Path(output_file), text)
    console.say(f"{output_file}: {len(found.services)} services")
