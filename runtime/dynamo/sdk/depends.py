"""An edge of the graph: a name of another service at build time, a client of it at run time."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, Generic, Protocol, TypeVar, overload

from dynamo.sdk.errors import NotBound
from dynamo.sdk.graph import Position

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_CLIENTS = "__dynamo_clients__"


class Decorated(Protocol[T_co]):
    """A service as its decorator leaves it: `inner` is the author's class."""

    @property
    def inner(self) -> type[T_co]: ...


class Dependency(Generic[T]):
    """What `depends` leaves in the class. `on` is what the author wrote: a service, an abstract class or a module."""

    def __init__(self, on: Any, position: Position) -> None:
        self.on = on
        self.position = position
        self.attribute = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute = name

    def __get__(self, instance: object | None, owner: type) -> Any:
        if instance is None:
            return self
        for holder in (instance, owner):
            clients = getattr(holder, _CLIENTS, {})
            if self.attribute in clients:
                return clients[self.attribute]
        raise NotBound(
            f"`{owner.__name__}.{self.attribute}` has no client: it is set when the service runs "
            "(`dynamo serve`), or by `dynamo.sdk.depends.bind` in a test"
        )

    def __repr__(self) -> str:
        return f"depends({getattr(self.on, '__name__', self.on)})"


@overload
def depends(on: Decorated[T]) -> T: ...
@overload
def depends(on: type[T]) -> T: ...
@overload
def depends(on: ModuleType) -> Any: ...
def depends(on: Any) -> Any:
    """Declare that this service calls another one.

    `on` is a service, an `AbstractService` (then `.link()` says which service it is), or a module that holds a
    service of the module's name. On an instance the attribute is a client with the endpoints of that service.
    """
    frame = sys._getframe(1)
    return Dependency(on, Position(file=frame.f_code.co_filename, line=frame.f_lineno))


def dependencies_of(cls: type) -> dict[str, Dependency[Any]]:
    """The dependencies of a class by attribute: base classes first, then in the order of definition."""
    return dict(_iterate_dependencies(cls))


def _iterate_dependencies(cls: type) -> Iterator[tuple[str, Dependency[Any]]]:
    for owner in reversed(cls.__mro__):
        for name in vars(owner):
            value = _find_attribute(cls, name)
            if isinstance(value, Dependency):
                yield name, value


def _find_attribute(cls: type, name: str) -> Any:
    return next((vars(owner)[name] for owner in cls.__mro__ if name in vars(owner)), None)


def bind(target: object, clients: Mapping[str, Any]) -> None:
    """Give the dependencies of a class or of one instance their clients, by attribute.

    Raises ValueError for an attribute that is no dependency.
    """
    inner = getattr(target, "inner", target)
    cls = inner if isinstance(inner, type) else type(inner)
    known = dependencies_of(cls)
    unknown = sorted(set(clients) - set(known))
    if unknown:
        raise ValueError(f"`{cls.__name__}` has no dependency `{unknown[0]}`")
    bound = {**getattr(inner, _CLIENTS, {}), **clients}
    setattr(inner, _CLIENTS, bound)
