"""Checks of one service, beyond the keywords of its decorator."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from dynamo.sdk.decorators import Service
from dynamo.sdk.endpoints import annotations_of, marked_methods, named_parameters
from dynamo.sdk.graph import EndpointSpec, Problem, ServiceSpec
from dynamo.sdk.interfaces import find_unimplemented
from dynamo.sdk.schemas import is_unservable, type_name


def service_problems(service: Service[Any], spec: ServiceSpec, own: frozenset[str]) -> Iterator[Problem]:
    """Everything wrong with a service; positions as they are in the code."""
    yield from service.problems
    where, cls, name = service.position, service.inner, service.name
    if "<locals>" in cls.__qualname__:
        yield Problem(
            where=where, message=f"`{name}` is defined inside a function", hint="Move it to the top of a module."
        )
    if getattr(cls, "_is_protocol", False):
        yield Problem(
            where=where,
            message=f"`{name}` is a typing.Protocol, which has no instances",
            hint=f"Write `class {cls.__name__}:`; interfaces of services inherit dynamo.sdk.AbstractService.",
        )
    for missing, what in find_unimplemented(cls, frozenset(method for method, _, _ in marked_methods(cls))):
        hint = f"Define `{missing.rpartition('.')[2]}` with @dynamo_endpoint."
        yield Problem(where=where, message=f"`{name}`: `{missing}` {what}", hint=hint)
    yield from _endpoint_problems(service, spec, own)


def _endpoint_problems(service: Service[Any], spec: ServiceSpec, own: frozenset[str]) -> Iterator[Problem]:
    taken: dict[tuple[str, str], EndpointSpec] = {}
    functions = {method: function for method, function, _ in marked_methods(service.inner)}
    several = {method for method, _, marks in marked_methods(service.inner) if any(mark.several for mark in marks)}
    checked: set[str] = set()
    for endpoint in spec.endpoints:
        where = endpoint.position
        told = f"`{service.name}.{endpoint.method}`"
        key = (
            endpoint.transport,
            f"{endpoint.http_method} {endpoint.name}" if endpoint.transport == "http" else endpoint.name,
        )
        if taken.setdefault(key, endpoint) is not endpoint:
            message = f"`{service.name}` has two endpoints named `{endpoint.name}`"
            yield Problem(where=where, message=message, hint="Give one another name: name=….")
        if endpoint.transport == "dynamo" and not spec.dynamo:
            yield Problem(
                where=where,
                message=f"{told} is a @dynamo_endpoint, but `{service.name}` is a plain HTTP service",
                hint='Give @service dynamo={"enabled": True, "namespace": …}, or decorate the method with @api.',
            )
        if endpoint.method in checked:
            continue
        checked.add(endpoint.method)
        required = [parameter.name for parameter in endpoint.parameters if parameter.required]
        if endpoint.transport == "dynamo" and len(required) > 1 and endpoint.method not in several:
            message = f"{told} takes {len(required)} arguments ({', '.join(required)}); a request is one value"
            yield Problem(where=where, message=message, hint="Put them into one pydantic model.")
        function = functions[endpoint.method]
        hints = annotations_of(function)
        for name in [*(parameter.name for parameter in named_parameters(function)), "return"]:
            if is_unservable(hints.get(name), own):
                yield Problem(
                    where=where,
                    message=f"{told} uses `{type_name(hints[name])}`, which cannot travel between services",
                    hint="Use a pydantic model, a dataclass, or plain JSON types.",
                )


def service_warnings(service: Service[Any], spec: ServiceSpec, called: bool) -> Iterator[Problem]:
    """What works, but hardly as meant."""
    for method, function, marks in marked_methods(service.inner):
        plain = inspect.unwrap(function)
        if any(mark.several for mark in marks):
            continue
        if not (inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain)):
            where = next(endpoint.position for endpoint in spec.endpoints if endpoint.method == method)
            message = f"`{service.name}.{method}` is not async, and holds up every other request while it runs"
            yield Problem(where=where, message=message, hint="Write `async def`.")
    if called and not spec.endpoints:
        yield Problem(
            where=service.position,
            message=f"`{service.name}` has no endpoint, so nothing can call it",
            hint="Decorate a method with @dynamo_endpoint or @api.",
        )
