"""`@service`: a class becomes a service of a graph. The class itself is not changed; the wrapper knows the rest."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Generic, TypeVar, overload

from dynamo.sdk import options as service_options
from dynamo.sdk.config import ServiceConfig
from dynamo.sdk.depends import Dependency, dependencies_of
from dynamo.sdk.endpoints import api, dynamo_endpoint, endpoints_of, parameters_of
from dynamo.sdk.graph import Edge, Position, Problem, ServiceSpec, make_relative
from dynamo.sdk.lifecycle import async_on_shutdown, async_on_start, liveness, readiness

__all__ = [
    "Service",
    "api",
    "async_on_shutdown",
    "async_on_start",
    "dynamo_endpoint",
    "endpoints_of",
    "liveness",
    "load_service",
    "readiness",
    "service",
]

T = TypeVar("T")


class Service(Generic[T]):
    """What `@service` makes of a class. Calling it makes an instance; other attributes are those of the class.

    `links` are the services it was linked to, with the place of each `.link()`; `linkers` those it was linked from.
    """

    def __init__(self, inner: type[T], options: service_options.ServiceOptions, position: Position) -> None:
        self.inner = inner
        self.position = position
        self.links: list[tuple[Service[Any], Position]] = []
        self.linkers: list[Service[Any]] = []
        self._options = options
        for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
            setattr(self, attribute, getattr(inner, attribute, None))
        # Last: a class attribute of the same name must not win over what the wrapper itself needs.
        self.__wrapped__ = inner

    @property
    def name(self) -> str:
        """The component's name: the class's, unless `dynamo={"name": …}` says otherwise."""
        return str(self._options.values.get("name", self.inner.__name__))

    @property
    def is_enabled(self) -> bool:
        """Whether other services of the graph can call it."""
        return bool(self._options.values.get("dynamo", False))

    @property
    def is_chained(self) -> bool:
        """Whether it keeps only its linked edges: it was linked to others, or it ends a chain of two links or more."""
        return bool(self.links) or any(linker.linkers for linker in self.linkers)

    @property
    def dependencies(self) -> dict[str, Dependency[Any]]:
        """The `depends` of the class by attribute."""
        return dependencies_of(self.inner)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the keywords of the decorator."""
        name = self.inner.__name__
        return tuple(
            Problem(where=self.position, message=f"{complaint.message} in @service of `{name}`", hint=complaint.hint)
            for complaint in self._options.complaints
        )

    def build_spec(self, project: str = "", edges: tuple[Edge, ...] = ()) -> ServiceSpec:
        """The service as a value. Positions are relative to `project`; edges are the graph's to say."""
        initialiser = vars(self.inner).get("__init__") or self.inner.__init__
        bare = ServiceSpec(
            name=self.name,
            module=self.inner.__module__,
            qualname=self.inner.__qualname__,
            dynamo=False,
            parameters=parameters_of(initialiser) if inspect.isfunction(initialiser) else (),
            endpoints=tuple(
                replace(endpoint, position=make_relative(endpoint.position, project))
                for endpoint in endpoints_of(self.inner)
            ),
            edges=edges,
            position=make_relative(self.position, project),
        )
        return self._options.apply_to(bare)

    def link(self, other: Service[Any] | Any) -> Service[Any]:
        """Keep the edge to `other`, and drop the unlinked ones; gives `other`, so that links chain.

        One link leaves the edges of `other` alone; in a chain `A.link(B).link(C)` all three keep only what is linked.

        Where `other` implements an abstract dependency it takes its place. A link that fits no dependency is a
        problem of the graph.
        """
        target = as_service(other)
        if target is None:
            raise TypeError(f"`{self.name}.link` takes a service, not {other!r}")
        frame = sys._getframe(1)
        position = Position(file=frame.f_code.co_filename, line=frame.f_lineno)
        if all(known is not target for known, _ in self.links):
            self.links.append((target, position))
            target.linkers.append(self)
        return target

    def dynamo_address(self) -> tuple[str, str]:
        """(namespace, name): where other services find it. A configured namespace wins over the decorator's."""
        settings = ServiceConfig.get_instance().get(self.name, {}).get("ServiceArgs", {})
        configured = settings.get("dynamo", {}) if isinstance(settings, dict) else {}
        namespace = configured.get("namespace") or self._options.values.get("namespace", "default")
        return str(namespace), self.name

    def __call__(self, *arguments: Any, **keywords: Any) -> T:
        return self.inner(*arguments, **keywords)

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # not made yet, as in copy and pickle
            raise AttributeError(name)
        return getattr(self.inner, name)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type[T]]:
        return (self.inner,)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self.inner)

    def __subclasscheck__(self, subclass: type) -> bool:
        return issubclass(getattr(subclass, "inner", subclass), self.inner)

    def __repr__(self) -> str:
        return f"<service {self.inner.__module__}.{self.inner.__qualname__}>"


@overload
def service(cls: type[T], /) -> Service[T]: ...
@overload
def service(**keywords: Any) -> Callable[[type[T]], Service[T]]: ...
def service(cls: type[T] | None = None, /, **keywords: Any) -> Service[T] | Callable[[type[T]], Service[T]]:
    """Make a class a service.

    Keywords: `dynamo` (enabled, namespace, name, component_type), `resources` (cpu, memory, gpu, custom), `workers`,
    `image`, `envs`, `labels`, `traffic`, `kubernetes_overrides` (entrypoint, cmd). Without `dynamo`, or with
    `enabled` False, it is a plain HTTP service. What is wrong with them is reported when the graph is described.
    """
    frame = sys._getframe(1)
    position = Position(file=frame.f_code.co_filename, line=frame.f_lineno)

    def wrap(inner: type[T]) -> Service[T]:
        if isinstance(inner, Service):
            inner = inner.inner
        if not isinstance(inner, type):
            raise TypeError(f"@service decorates a class, not {type(inner).__name__}")
        options = service_options.parse_keywords(keywords)
        if keywords.get("dynamo") is not None:
            options.values.setdefault("dynamo", True)
        made = Service(inner, options, position)
        _answer_for_module(made)
        return made

    return wrap if cls is None else wrap(cls)


def _answer_for_module(made: Service[Any]) -> None:
    """After `import ServiceB`, `ServiceB.dynamo_address()` and `.link()` are those of the service of that name."""
    module = sys.modules.get(made.inner.__module__)
    if module is not None and made.inner.__module__.rpartition(".")[2] == made.inner.__name__:
        vars(module).setdefault("dynamo_address", made.dynamo_address)
        vars(module).setdefault("link", made.link)


def as_service(value: Any) -> Service[Any] | None:
    """The service that a service, its class, or a module of its name stands for; else None."""
    if isinstance(value, Service):
        return value
    if inspect.ismodule(value):
        named = vars(value).get(value.__name__.rpartition(".")[2])
        if isinstance(named, Service):
            return named
        own = [
            item
            for item in vars(value).values()
            if isinstance(item, Service) and item.inner.__module__ == value.__name__
        ]
        return own[0] if len(own) == 1 else None
    return None


def load_service(module: str, qualname: str) -> Service[Any]:
    """Import a service by where it is defined. Raises ImportError, or TypeError when no service is there."""
    value: Any = importlib.import_module(module)
    for name in qualname.split("."):
        try:
            value = getattr(value, name)
        except AttributeError as error:
            raise ImportError(f"`{module}` has no `{qualname}`", name=module) from error
    if not isinstance(value, Service):
        raise TypeError(f"`{module}:{qualname}` is not a service")
    return value
