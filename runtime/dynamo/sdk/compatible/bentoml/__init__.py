"""The module `bentoml` for projects written for its SDK (1.4): the names that have a counterpart here.

Source: BentoML 1.4, "Create online API Services", "Run distributed Services", "Lifecycle hooks".
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, NoReturn

from pydantic import Field

from dynamo.sdk import lifecycle, options
from dynamo.sdk.compatible import VARIABLE, NotTakenOver
from dynamo.sdk.decorators import Service as _Service
from dynamo.sdk.depends import Dependency as _Dependency
from dynamo.sdk.endpoints import Mark, add_mark, annotations_of, marked_methods
from dynamo.sdk.errors import NotBound
from dynamo.sdk.graph import Position, Problem

from . import calls, exceptions, images

__all__ = [
    "Field",
    "Service",
    "api",
    "depends",
    "exceptions",
    "images",
    "importing",
    "on_deployment",
    "on_shutdown",
    "on_startup",
    "service",
]

_HINTS = {
    "models": "Fetch weights in `__init__`, or from a volume; `dynamo serve` and the image see the same folders.",
    "task": "Make it `@bentoml.api`: a queue of tasks is `dynamo.coordination.queues`.",
    "asgi_app": "An attribute `asgi` of the instance is an ASGI application beside the endpoints.",
    "metrics": "Metrics of requests and workers are on /metrics.",
}
_FOREIGN = frozenset({"numpy", "torch", "tensorflow", "pandas", "PIL"})
_BEFORE = "__bentoml_on_deployment__"

on_startup = lifecycle.async_on_start
on_shutdown = lifecycle.async_on_shutdown
importing = contextlib.nullcontext
"""Packages are stood in for while the graph is described; in a worker a failing import must be heard of."""


def __getattr__(name: str) -> NoReturn:
    if name.startswith("__"):
        raise AttributeError(name)
    raise NotTakenOver(f"bentoml.{name}", _HINTS.get(name, "docs/how-to/from-bentoml.md lists what is."))


class Service(_Service[Any]):
    """A service made by `@bentoml.service`."""

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        calls.remember_loop()
        for value in vars(self.inner).values():
            if getattr(value, _BEFORE, False):
                value.__func__()
        return super().__call__(*arguments, **keywords)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the keywords, and arguments that only BentoML's HTTP carries."""
        return (*super().problems, *(problem for each in marked_methods(self.inner) for problem in _unheard(*each[:2])))


def _unheard(name: str, function: Any) -> list[Problem]:
    code, hints, found = function.__code__, annotations_of(function), []
    for argument in inspect.signature(function).parameters.values():
        hint = hints.get(argument.name)
        top = str(getattr(hint, "__module__", "")).partition(".")[0]
        text, what = str(argument.annotation), ""
        if argument.kind is argument.POSITIONAL_ONLY and argument.name != "self":
            what = "is the whole body of a request"
        elif (isinstance(hint, type) and issubclass(hint, PurePath)) or (top in _FOREIGN and hint is not None):
            what = "is a file or an array"
        elif text.endswith("bentoml.Context") or text == "Context":
            what = "is BentoML's context"
        if what:
            where = Position(file=code.co_filename, line=code.co_firstlineno)
            hint = "Take JSON values by name: text, numbers, lists, dictionaries or pydantic models."
            found.append(Problem(where=where, message=f"`{name}({argument.name})` {what}", hint=hint))
    return found


def service(inner: type | None = None, /, *, name: str | None = None, image: Any = None, **given: Any) -> Any:
    """`@bentoml.service`: a service with HTTP routes that the others of its graph can call too."""
    frame = sys._getframe(1)
    position = Position(file=frame.f_code.co_filename, line=frame.f_lineno)
    keywords = {key: value for key, value in given.items() if key not in ("threads", "extra_ports")}
    keywords["dynamo"] = {"enabled": True, **({"name": name} if name else {})}
    if isinstance(resources := given.get("resources"), dict):
        keywords["resources"] = {key: value for key, value in resources.items() if key != "gpu_type"}
    if isinstance(traffic := given.get("traffic"), dict):
        # A target for scaling there; here it would be the most that are let in.
        keywords["traffic"] = {key: value for key, value in traffic.items() if key != "concurrency"}
    read = options.parse_keywords(keywords)
    read.values["envs"] = {**read.values.get("envs", {}), VARIABLE: "bentoml"}

    def wrap(cls: type) -> Service:
        return Service(cls, read, position)

    return wrap if inner is None else wrap(inner)


def api(function: Any = None, /, *, route: str = "", name: str = "", batchable: bool = False, **given: Any) -> Any:
    """`@bentoml.api`: a route `/<name>`, and an endpoint for the other services. Calls are not merged into batches."""
    for key in ("input_spec", "output_spec"):
        if given.get(key) is not None:
            raise NotTakenOver(f"{key}=", "Annotate the method's arguments and its result.")

    def mark(method: Callable[..., Any]) -> Callable[..., Any]:
        path = (route or name or method.__name__).strip("/")
        return add_mark(
            add_mark(method, Mark(path, "http", stream="text/event-stream; charset=utf-8")),
            Mark(method.__name__, "dynamo", several=True),
        )

    return mark if function is None else mark(function)


def on_deployment(function: Any) -> Any:
    """Run a static method before the service is made; here in each worker, not once."""
    found = function if isinstance(function, staticmethod) else staticmethod(function)
    setattr(found, _BEFORE, True)
    return found


class _Callee(_Dependency[Any]):
    def __get__(self, instance: object | None, owner: type) -> Any:
        if instance is None:
            return self
        try:
            return calls.Callee(super().__get__(instance, owner), self.on.inner)
        except NotBound:  # in a test of the class alone, the other service is made beside it
            made = vars(instance)[self.attribute] = self.on()
            return made


def depends(on: Any = None, *, url: str = "", deployment: str = "", cluster: str = "") -> Any:
    """`bentoml.depends`: another service of the graph."""
    if url or deployment or cluster:
        raise NotTakenOver("depends(url=…)", "`dynamo serve --depends NAME=NAMESPACE/COMPONENT` names one elsewhere.")
    frame = sys._getframe(1)
    return _Callee(on, Position(file=frame.f_code.co_filename, line=frame.f_lineno))
