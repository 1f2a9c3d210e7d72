"""Pictures of graphs: what is drawn, where, and that no name breaks them."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.sdk.graph import Edge, EndpointSpec, Resources, ServiceGraph, ServiceSpec
from dynamo_build.graph.drawing import FORMS, arrange_graph

GOLDEN = Path(__file__).resolve().parents[4] / "golden" / "drawing"


def service(name: str, *calls: str, gpu: str = "0", image: str = "") -> ServiceSpec:
    """A service that calls others, each by its name in lower case."""
    return ServiceSpec(
        name=name,
        module="app",
        qualname=name,
        namespace="inference",
        resources=Resources(gpu=gpu),
        image=image,
        endpoints=(EndpointSpec(name="generate", method="generate", streaming=True),),
        edges=tuple(Edge(attribute=other.lower(), service=other) for other in calls),
    )


DIAMOND = ServiceGraph(
    target="app:Frontend",
    entry="Frontend",
    services=(
        service("Worker", gpu="2", image="registry.example/vllm:1"),
        service("Router", "Worker"),
        service("Processor", "Router", "Worker"),
        service("Frontend", "Processor", "Worker"),
    ),
)


@pytest.mark.parametrize("form", FORMS)
def test_golden(form: str) -> None:
    """The picture of a known graph, as people read it."""
    path = GOLDEN / f"diamond.{form}"
    text = FORMS[form](DIAMOND, {})
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


@st.composite
def graphs(draw: st.DrawFn) -> ServiceGraph:
    """Graphs without cycles whose names and texts hold what markup minds."""
    letters = st.text(st.sampled_from("aB<>&\"'|#\\;]é"), min_size=1, max_size=8)
    names = draw(st.lists(letters, min_size=1, max_size=12, unique=True))
    services = []
    for at, name in enumerate(names):
        calls = draw(st.lists(st.sampled_from(names[:at]), unique=True, max_size=4)) if at else []
        services.append(service(name, *calls, image=draw(letters)))
    return ServiceGraph(target="app:Entry", entry=names[-1], services=tuple(services))


@given(graphs())
def test_boxes_stand_apart_and_arrows_point_right(graph: ServiceGraph) -> None:
    """No box covers another, each lies inside the picture, and a caller is left of what it calls."""
    picture = arrange_graph(graph)
    boxes = list(picture.boxes.values())
    for at, one in enumerate(boxes):
        assert 0 <= one.x and one.x + one.width <= picture.width
        assert 0 <= one.y and one.y + one.height <= picture.height
        for other in boxes[at + 1 :]:
            beside = one.x + one.width <= other.x or other.x + other.width <= one.x
            above = one.y + one.height <= other.y or other.y + other.height <= one.y
            assert beside or above
    for arrow in picture.arrows:
        xs = [x for x, _ in arrow.points]
        assert xs == sorted(xs) and xs[0] < xs[-1]
        for x, y in arrow.points[1:-1]:
            assert not any(box.x < x < box.x + box.width and box.y <= y <= box.y + box.height for box in boxes)
            assert not any(box.x in (x, x - box.width) and box.y <= y <= box.y + box.height for box in boxes)


@given(graphs())
def test_no_name_breaks_the_markup(graph: ServiceGraph) -> None:
    """SVG stays well-formed, DOT stays one quoted text per name, Mermaid keeps one node a line."""
    root = ElementTree.fromstring(FORMS["svg"](graph, {}))
    names = [
        element.text for element in root.iter("{http://www.w3.org/2000/svg}text") if element.get("class") == "name"
    ]
    assert sorted(str(name) for name in names) == sorted(graph.names)
    for line in FORMS["dot"](graph, {}).splitlines()[3:-1]:
        assert re.fullmatch(r'  "(\\.|[^"\\])*"( -> "(\\.|[^"\\])*")? \[label="(\\.|[^"\\])*"\];', line)
    for line in FORMS["mermaid"](graph, {}).splitlines()[1:]:
        assert re.fullmatch(r'  s\d+(\["[^"|]*"\]| -->\|[^|"]*\| s\d+)', line)


@given(graphs())
def test_the_page_asks_nothing_from_outside(graph: ServiceGraph) -> None:
    """No element of the page has an address, and it holds no script."""

    class Seen(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag not in {"script", "link", "img", "iframe", "object"}
            assert not {name for name, _ in attrs} & {"src", "href", "onload", "onclick"}

    page = FORMS["html"](graph, {})
    Seen().feed(page)
    assert "@import" not in page and "http" not in page.replace("http_method", "")


@pytest.mark.parametrize("form", FORMS)
def test_notes_stand_with_their_service(form: str) -> None:
    """What is said of a running service is in the picture, and makes room for itself."""
    noted = FORMS[form](DIAMOND, {"Router": ("1 of 2 ready", "a line that is wider than any other line of that box")})
    assert "1 of 2 ready" in noted and "wider than any other" in noted
    assert "ready" not in FORMS[form](DIAMOND, {})


def test_a_thousand_services_are_drawn_quickly() -> None:
    """A long chain does not recurse, and a wide graph is not searched again and again."""
    chain = [service("S0")] + [service(f"S{n}", f"S{n - 1}") for n in range(1, 1000)]
    graph = ServiceGraph(target="app:S999", entry="S999", services=tuple(chain))
    assert len(arrange_graph(graph).boxes) == 1000
    assert FORMS["mermaid"](graph, {}).count("-->") == 999
    assert FORMS["tree"](graph, {}).count("\n") == 1000
