"""Methods of a service that run at its start and end, and those that answer its probes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar, overload

F = TypeVar("F", bound=Callable[..., Any])
Hook = Callable[[], Any]

_MARK = "__dynamo_hooks__"


def _mark_hook(kind: str, method: F | None) -> F | Callable[[F], F]:
    def mark(function: F) -> F:
        setattr(function, _MARK, (*getattr(function, _MARK, ()), kind))
        return function

    return mark if method is None else mark(method)


@overload
def async_on_start(method: F) -> F: ...
@overload
def async_on_start() -> Callable[[F], F]: ...
def async_on_start(method: F | None = None) -> F | Callable[[F], F]:
    """Run the method (sync or async) after the service is made, before its endpoints go live."""
    return _mark_hook("start", method)


@overload
def async_on_shutdown(method: F) -> F: ...
@overload
def async_on_shutdown() -> Callable[[F], F]: ...
def async_on_shutdown(method: F | None = None) -> F | Callable[[F], F]:
    """Run the method (sync or async) when the service ends, after its endpoints are closed."""
    return _mark_hook("shutdown", method)


@overload
def liveness(method: F) -> F: ...
@overload
def liveness() -> Callable[[F], F]: ...
def liveness(method: F | None = None) -> F | Callable[[F], F]:
    """Ask the method, which returns a bool, whether the service should be left alive (`/live`)."""
    return _mark_hook("liveness", method)


@overload
def readiness(method: F) -> F: ...
@overload
def readiness() -> Callable[[F], F]: ...
def readiness(method: F | None = None) -> F | Callable[[F], F]:
    """Ask the method, which returns a bool, whether the service can take requests (`/health`)."""
    return _mark_hook("readiness", method)


def start_hooks(instance: object) -> tuple[Hook, ...]:
    """The bound `@async_on_start` methods: base classes first, then in the order of definition."""
    return _find_hooks(instance, "start")


def shutdown_hooks(instance: object) -> tuple[Hook, ...]:
    """The bound `@async_on_shutdown` methods, in the same order."""
    return _find_hooks(instance, "shutdown")


def find_probes(instance: object, kind: Literal["liveness", "readiness"]) -> tuple[Hook, ...]:
    """The bound methods that answer this probe, in the same order."""
    return _find_hooks(instance, kind)


def _find_hooks(instance: object, kind: str) -> tuple[Hook, ...]:
    names = dict.fromkeys(
        name
        for cls in reversed(type(instance).__mro__)
        for name, value in vars(cls).items()
        if kind in getattr(value, _MARK, ())
    )
    return tuple(getattr(instance, name) for name in names)
