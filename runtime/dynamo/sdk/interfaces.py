"""Services by their interface alone: which service fills an abstract dependency is said later, by `.link()`."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, overload

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__dynamo_abstract__"


class AbstractService(ABC):  # noqa: B024 - its abstract methods are those of the author's interface
    """Base class of interfaces. A service that inherits one implements each `@abstract_endpoint` by an endpoint."""


@overload
def abstract_endpoint(method: F) -> F: ...
@overload
def abstract_endpoint() -> Callable[[F], F]: ...
def abstract_endpoint(method: F | None = None) -> F | Callable[[F], F]:
    """Name an endpoint that every service of this interface must have."""

    def mark(function: F) -> F:
        setattr(function, _MARK, True)
        function.__isabstractmethod__ = True  # type: ignore[attr-defined]
        return function

    return mark if method is None else mark(method)


def is_abstract(cls: object) -> bool:
    """Whether this is an interface rather than a service."""
    return isinstance(cls, type) and issubclass(cls, AbstractService)


def find_unimplemented(cls: type, endpoints: frozenset[str]) -> Iterator[tuple[str, str]]:
    """What a service owes to its interfaces: (method, what is wrong with it). `endpoints` are its endpoint methods."""
    for owner in cls.__mro__:
        for name, declared in vars(owner).items():
            if not getattr(declared, _MARK, False):
                continue
            found: Any = getattr(cls, name, None)
            if getattr(found, _MARK, False):
                yield f"{owner.__name__}.{name}", "is not implemented"
            elif not callable(found):
                yield f"{owner.__name__}.{name}", "is implemented by something that is not a method"
            elif name not in endpoints:
                yield f"{owner.__name__}.{name}", "is implemented by a method that is not an endpoint"
