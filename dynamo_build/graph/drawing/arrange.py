"""Layout of a graph: callers left of what they call, with few crossings.

Source: Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures", 1981: layers by
longest path, a place kept in every layer that an arrow passes, order within a layer by the mean place of neighbours.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from dynamo.sdk.graph import ServiceGraph, ServiceSpec

#: Pixels: a character of the title and of a line, the least box, the gaps between columns and rows, the margin.
_TITLE, _CHARACTER, _LEAST, _ROW, _ACROSS, _DOWN, _MARGIN, _LANE = 9, 7, 140, 18, 90, 28, 20, 14
_SWEEPS = 4


#: Lines to add to services by name, such as how a running one does.
Notes = Mapping[str, tuple[str, ...]]
NONE: Notes = {}


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
class Arrow:
    """A call: who calls whom through which attribute, and the points it goes through, from the one to the other."""

    caller: str
    callee: str
    attribute: str
    points: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Boxes by service name, the arrows between them, and the size in pixels."""

    title: str
    boxes: Mapping[str, Box]
    arrows: tuple[Arrow, ...]
    width: int
    height: int


#: A service by its name, or the lane of a passing arrow: caller, attribute, column.
_Place = str | tuple[str, str, int]


def arrange(graph: ServiceGraph, notes: Notes = NONE) -> Picture:
    """Place every service of a graph. The same graph gives the same picture."""
    columns = _columns(graph)
    lines = {service.name: describe(service, notes) for service in graph.services}
    boxes: dict[str, Box] = {}
    lanes: dict[_Place, tuple[tuple[int, int], tuple[int, int]]] = {}
    heights = [sum(_height(lines, place) + _DOWN for place in column) - _DOWN for column in columns]
    tallest, x = max(heights), _MARGIN
    for column, height in zip(columns, heights, strict=True):
        width = max(_width(place, lines[place]) for place in column if isinstance(place, str))
        y = _MARGIN + (tallest - height) // 2
        for place in column:
            tall = _height(lines, place)
            if isinstance(place, str):
                service = graph.service(place)
                boxes[place] = Box(service=service, x=x, y=y, width=width, height=tall, lines=lines[place])
            else:
                lanes[place] = (x, y + tall // 2), (x + width, y + tall // 2)
            y += tall + _DOWN
        x += width + _ACROSS
    arrows = []
    for caller in graph.services:
        for edge in caller.edges:
            start, end = boxes[caller.name], boxes[edge.service]
            points = [(start.x + start.width, start.y + start.height // 2)]
            for number in range(len(columns)):
                points += lanes.get((caller.name, edge.attribute, number), ())
            points.append((end.x, end.y + end.height // 2))
            arrows.append(
                Arrow(caller=caller.name, callee=edge.service, attribute=edge.attribute, points=tuple(points))
            )
    width, height = x - _ACROSS + _MARGIN, tallest + 2 * _MARGIN
    return Picture(title=graph.entry, boxes=boxes, arrows=tuple(arrows), width=width, height=height)


def describe(service: ServiceSpec, notes: Notes = NONE) -> tuple[str, ...]:
    """What a picture says of a service under its name; last, what is noted of it."""
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
    return (*lines, *notes.get(service.name, ()))


def _width(name: str, lines: tuple[str, ...]) -> int:
    return max(_LEAST, max(map(len, lines)) * _CHARACTER + 24, len(name) * _TITLE + 24)


def _height(lines: Mapping[str, tuple[str, ...]], place: _Place) -> int:
    return 34 + _ROW * len(lines[place]) if isinstance(place, str) else _LANE


def _columns(graph: ServiceGraph) -> list[list[_Place]]:
    depth = dict.fromkeys(graph.names, 0)
    for service in reversed(graph.services):  # callers come after what they call: entry first here
        for edge in service.edges:
            depth[edge.service] = max(depth[edge.service], depth[service.name] + 1)
    columns: list[list[_Place]] = [[] for _ in range(max(depth.values()) + 1)]
    for name in reversed(graph.names):
        columns[depth[name]].append(name)
    before: dict[_Place, list[_Place]] = {name: [] for name in graph.names}
    after: dict[_Place, list[_Place]] = {name: [] for name in graph.names}
    for service in graph.services:
        for edge in service.edges:
            passed: list[_Place] = [
                (service.name, edge.attribute, number) for number in range(depth[service.name] + 1, depth[edge.service])
            ]
            for place in passed:
                columns[place[2]].append(place)  # type: ignore[index]  # a lane
            way: list[_Place] = [service.name, *passed, edge.service]
            for one, other in itertools.pairwise(way):
                after.setdefault(one, []).append(other)
                before.setdefault(other, []).append(one)
    for sweep in range(_SWEEPS):
        row = {place: _part(number, column) for column in columns for number, place in enumerate(column)}
        beside = before if sweep % 2 == 0 else after
        for column in columns if sweep % 2 == 0 else reversed(columns):
            column.sort(key=lambda place: _mean([row[other] for other in beside.get(place, ())], row[place]))
            row |= {place: _part(number, column) for number, place in enumerate(column)}
    return columns


def _part(number: int, column: list[_Place]) -> float:
    return (number + 0.5) / len(column)


def _mean(places: list[float], otherwise: float) -> float:
    return sum(places) / len(places) if places else otherwise
