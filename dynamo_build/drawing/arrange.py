"""Where the boxes of a graph go: callers left of what they call, crossings kept few.

Source: Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures", 1981 (layers by
longest path, order within a layer by the mean place of the neighbours).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dynamo.sdk.graph import ServiceGraph, ServiceSpec

#: Pixels: a character of the title and of a line, the least box, the gaps between columns and rows, the margin.
_TITLE, _CHARACTER, _LEAST, _ROW, _ACROSS, _DOWN, _MARGIN = 9, 7, 140, 18, 90, 28, 20
_SWEEPS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One service: its place in pixels, and the lines under its name."""

    service: ServiceSpec
    x: int
    y: int
    width: int
    height: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Boxes by service name, the arrows between them (caller, callee, attribute), and the size in pixels."""

    title: str
    boxes: Mapping[str, Box]
    arrows: tuple[tuple[str, str, str], ...]
    width: int
    height: int


def arrange(graph: ServiceGraph) -> Picture:
    """Place every service of a graph. The same graph gives the same picture."""
    columns = _columns(graph)
    boxes: dict[str, Box] = {}
    x = _MARGIN
    heights = [sum(_height(graph.service(name)) + _DOWN for name in column) - _DOWN for column in columns]
    tallest = max(heights)
    for column, height in zip(columns, heights, strict=True):
        width = max(_width(graph.service(name)) for name in column)
        y = _MARGIN + (tallest - height) // 2
        for name in column:
            service = graph.service(name)
            boxes[name] = Box(service=service, x=x, y=y, width=width, height=_height(service), lines=describe(service))
            y += boxes[name].height + _DOWN
        x += width + _ACROSS
    arrows = tuple((caller.name, edge.service, edge.attribute) for caller in graph.services for edge in caller.edges)
    return Picture(
        title=graph.entry,
        boxes=boxes,
        arrows=arrows,
        width=x - _ACROSS + _MARGIN,
        height=tallest + 2 * _MARGIN,
    )


def describe(service: ServiceSpec) -> tuple[str, ...]:
    """What a picture says of a service under its name."""
    needs = [f"{service.workers} worker" + ("s" if service.workers != 1 else "")]
    needs += [f"cpu {service.resources.cpu}", service.resources.memory]
    if service.resources.gpu not in ("", "0"):
        needs.append(f"gpu {service.resources.gpu}")
    lines = [
        f"{service.namespace}/{service.name}" if service.dynamo else "not called from the graph",
        " · ".join(needs),
    ]
    lines += [
        f"{endpoint.http_method} /{endpoint.name}" if endpoint.transport == "http" else endpoint.name
        for endpoint in service.endpoints
    ]
    if service.image:
        lines.append(service.image)
    return tuple(lines)


def _width(service: ServiceSpec) -> int:
    widest = max(len(line) * _CHARACTER for line in describe(service))
    return max(_LEAST, widest + 24, len(service.name) * _TITLE + 24)


def _height(service: ServiceSpec) -> int:
    return 34 + _ROW * len(describe(service))


def _columns(graph: ServiceGraph) -> list[list[str]]:
    depth = dict.fromkeys(graph.names, 0)
    for service in reversed(graph.services):  # callers come after what they call: entry first here
        for edge in service.edges:
            depth[edge.service] = max(depth[edge.service], depth[service.name] + 1)
    columns: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    for name in reversed(graph.names):
        columns[depth[name]].append(name)
    callers: dict[str, list[str]] = {name: [] for name in graph.names}
    callees: dict[str, list[str]] = {name: [] for name in graph.names}
    for caller, callee in graph.edges():
        callers[callee.name].append(caller.name)
        callees[caller.name].append(callee.name)
    for sweep in range(_SWEEPS):
        place = {name: row / max(1, len(column) - 1) for column in columns for row, name in enumerate(column)}
        beside = callers if sweep % 2 == 0 else callees
        for column in columns if sweep % 2 == 0 else reversed(columns):
            column.sort(key=lambda name: _mean([place[other] for other in beside[name]], place[name]))
            place |= {name: row / max(1, len(column) - 1) for row, name in enumerate(column)}
    return columns


def _mean(places: list[float], otherwise: float) -> float:
    return sum(places) / len(places) if places else otherwise
