"""The verb `draw`: a picture of a graph in the code, of a bento, or of a running graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dynamo.sdk import codec
from dynamo.sdk.graph import ServiceGraph
from dynamo_build.bento.store import select_bento
from dynamo_build.errors import UsageError
from dynamo_build.events import Listener, ignore
from dynamo_build.graph.drawing import FORMS, NONE
from dynamo_build.model.plan import BuildOptions
from dynamo_build.pipeline.build import discover_graph

_ENDINGS = {".svg": "svg", ".html": "html", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".json": "json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawOptions:
    """What to draw and how: at most one of `target` (`module:Service`), `tag` (a bento) and `running`.

    Without one of them it is the bento built last from the project's folder. `form` is a name of `FORMS` or `json`;
    where it is `tree` and the picture goes to `output_file`, the file's ending decides.
    """

    target: str = ""
    tag: str = ""
    running: bool = False
    form: str = "tree"
    output_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A graph and its picture as text."""

    graph: ServiceGraph
    text: str


def draw(project: Path, options: DrawOptions, on: Listener = ignore) -> Drawing:
    """Draw a graph. Nothing is written. Raises UsageError, GraphError, StoreError or ServeError."""
    form = options.form
    if options.output_file and form == "tree":
        form = _ENDINGS.get(Path(options.output_file).suffix, form)
    if form not in (*FORMS, "json"):
        raise UsageError(f"`{form}` is not a picture format", [f"Use {', '.join(FORMS)} or json."])
    if sum((bool(options.target), bool(options.tag), options.running)) > 1:
        raise UsageError("a graph, a bento and a running graph exclude each other", ["Name one of them."])
    notes = NONE
    if options.running:
        from dynamo_build.local.dashboard import observe_graph  # the page and its server take time to load

        graph, notes = observe_graph()
    elif options.target:
        graph = discover_graph(options.target, project, BuildOptions(), on=on)
    else:
        graph = select_bento(options.tag, project.resolve(), on=on).manifest.graph
    if form == "json":
        document = {**codec.to_plain(graph), **({"now": notes} if notes else {})}
        return Drawing(graph=graph, text=codec.encode_pretty(document) + "\n")
    return Drawing(graph=graph, text=FORMS[form](graph, notes))
