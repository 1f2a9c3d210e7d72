"""Methods of a service that others can call: inside the graph (`@dynamo_endpoint`) or over HTTP (`@api`)."""

from __future__ import annotations

import contextlib
import inspect
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from dynamo.sdk.graph import EndpointSpec, Parameter, Position
from dynamo.sdk.schemas import is_model, json_schema, json_value, object_schema, type_name, unwrap_stream

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__dynamo_endpoints__"
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Mark:
    """What a decorator leaves on a method. With `several` its callers give the arguments by name, however many.

    `stream` is the content type of what it yields over HTTP, whose texts are then sent as they are.
    """

    name: str
    transport: str
    http_method: str = "POST"
    several: bool = False
    stream: str = ""


def add_mark(function: F, mark: Mark) -> F:
    """The function with one mark more."""
    setattr(function, _MARK, (*getattr(function, _MARK, ()), mark))
    return function


@overload
def dynamo_endpoint(method: F) -> F: ...
@overload
def dynamo_endpoint(
    method: None = None, *, name: str | None = None, transports: Sequence[Any] | None = None
) -> Callable[[F], F]: ...
@overload
def dynamo_endpoint(method: str, *, transports: Sequence[Any] | None = None) -> Callable[[F], F]: ...
def dynamo_endpoint(
    method: F | str | None = None, *, name: str | None = None, transports: Sequence[Any] | None = None
) -> F | Callable[[F], F]:
    """Make a method callable by other services as `namespace/Service/name`; `name` is the method's unless given.

    `transports` may name `http`, which makes it an `@api` route.
    """
    if isinstance(method, str):
        name, method = method, None
    wanted = [str(getattr(item, "value", item)).lower() for item in transports or ("dynamo",)]

    def mark(function: F) -> F:
        for transport in wanted:
            add_mark(function, Mark(name or function.__name__, "http" if transport == "http" else "dynamo"))
        return function

    return mark if method is None else mark(method)


@overload
def api(method: F) -> F: ...
@overload
def api(method: None = None, *, name: str | None = None, http_method: str = "POST") -> Callable[[F], F]: ...
@overload
def api(method: str, *, http_method: str = "POST") -> Callable[[F], F]: ...
def api(method: F | str | None = None, *, name: str | None = None, http_method: str = "POST") -> F | Callable[[F], F]:
    """Make a method an HTTP route `/<name>`; the members of the JSON body are its arguments.

    Raises ValueError when `http_method` is not an HTTP method.
    """
    if isinstance(method, str):
        name, method = method, None
    verb = http_method.upper()
    if verb not in _METHODS:
        raise ValueError(f"`{http_method}` is not an HTTP method")

    def mark(function: F) -> F:
        return add_mark(function, Mark((name or function.__name__).strip("/"), "http", verb))

    return mark if method is None else mark(method)


def stream_form(function: Any) -> str:
    """The content type of a method's stream over HTTP; "" where its first item decides."""
    return next((mark.stream for mark in getattr(function, _MARK, ()) if mark.stream), "")


def marked_methods(cls: type) -> Iterator[tuple[str, Any, tuple[Mark, ...]]]:
    """(method name, function, marks) of all endpoints: base classes first, then in the order of definition."""
    names = dict.fromkeys(
        name for owner in reversed(cls.__mro__) for name, value in vars(owner).items() if getattr(value, _MARK, ())
    )
    for name in names:
        function = getattr(cls, name, None)
        marks = getattr(function, _MARK, ())
        if marks:
            yield name, function, marks


def endpoints_of(cls: Any) -> tuple[EndpointSpec, ...]:
    """The endpoints of a class or service, with types and schemas; `getattr(instance, e.method)` is the handler."""
    return tuple(
        spec
        for name, function, marks in marked_methods(getattr(cls, "inner", cls))
        for spec in _build_specs(name, function, marks)
    )


def _build_specs(method: str, function: Any, marks: tuple[Mark, ...]) -> Iterator[EndpointSpec]:
    code = inspect.unwrap(function).__code__
    hints = annotations_of(function)
    named = named_parameters(function)
    returns = hints.get("return", inspect.Parameter.empty)
    stream, item = unwrap_stream(returns)
    unwrapped = inspect.unwrap(function)
    stream = stream or inspect.isasyncgenfunction(unwrapped) or inspect.isgeneratorfunction(unwrapped)
    typed = {parameter.name: hints.get(parameter.name, Any) for parameter in named}
    parameters = parameters_of(function)
    required = [parameter.name for parameter in parameters if parameter.required]
    for mark in marks:
        only = next(iter(typed.values())) if len(typed) == 1 or (typed and mark.transport == "dynamo") else None
        whole = only is not None and (mark.transport == "dynamo" or is_model(only))
        yield EndpointSpec(
            name=mark.name,
            method=method,
            transport=mark.transport,
            streaming=stream,
            http_method=mark.http_method,
            parameters=parameters,
            request_type=type_name(only) if whole and only is not Any else "",
            request_schema=json_schema(only) if whole else object_schema(typed, required) if typed else {},
            response_type="" if item in (inspect.Parameter.empty, Any) else type_name(item),
            response_schema={} if item in (inspect.Parameter.empty, Any) else json_schema(item),
            position=Position(file=code.co_filename, line=code.co_firstlineno),
        )


def named_parameters(function: Any) -> list[inspect.Parameter]:
    """The parameters a caller can give by name, without `self`."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return [
        parameter for parameter in parameters if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]


def parameters_of(function: Any) -> tuple[Parameter, ...]:
    """The parameters of a method or an `__init__` as values, without `self`."""
    hints = annotations_of(function)
    result = []
    for parameter in named_parameters(function):
        required = parameter.default is parameter.empty
        annotation = hints.get(parameter.name, parameter.empty)
        result.append(
            Parameter(
                name=parameter.name,
                required=required,
                default=None if required else json_value(parameter.default),
                annotation="" if annotation is parameter.empty else type_name(annotation),
            )
        )
    return tuple(result)


def annotations_of(function: Any) -> dict[str, Any]:
    """The annotations with strings resolved; those that name nothing known stay strings."""
    function = inspect.unwrap(function)
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError, SyntaxError):
        found = {}
        for name, value in getattr(function, "__annotations__", {}).items():
            if isinstance(value, str):
                with contextlib.suppress(NameError, TypeError, AttributeError, SyntaxError):
                    value = eval(value, function.__globals__)
            found[name] = value
        return found
