"""Names that stand for something the build decides."""

from __future__ import annotations


class GraphBase(str):
    """The base image of the graph, whatever the build says it is. As a string it is empty."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "DYNAMO_IMAGE"


#: For `@service(image=…)`: the graph's base. The environment is not read: a graph must not depend on who describes it.
DYNAMO_IMAGE = GraphBase()
