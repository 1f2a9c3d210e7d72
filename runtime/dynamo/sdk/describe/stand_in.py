"""Modules that are not there while a graph is described: enough of them to import the code that uses them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn, Union, cast

_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_SDK = __file__.rpartition(os.sep)[0].rpartition(os.sep)[0] + os.sep
#: What is imported for real: the SDK and the runtime, pydantic with what it needs, and what the runtime's types are.
_REAL = frozenset(
    {"dynamo", "pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection", "msgspec"}
)
_KNOWN = _REAL | sys.stdlib_module_names
_IMPORTLIB = f"{os.sep}importlib{os.sep}"
#: What pydantic asks the version of before it uses it; it is content with this one.
_ASKED_BY_PYDANTIC = {"email-validator": "2.0.0"}
_LIBRARY = os.__file__.rpartition(os.sep)[0] + os.sep


class StandInUsed(Exception):
    """Code asked a stand-in for a value that only the real module has."""


#: What the author's code was refused, with file and line: it may catch the error, and the graph is still undecided.
refused: list[tuple[str, str, int]] = []


def _refuse_use(name: str, what: str) -> NoReturn:
    message = f"{what} `{name}` while the graph is imported, when it is only stood in for"
    file, line = _find_caller()
    if not _is_library(file):
        refused.append((message, file, line))
    raise StandInUsed(message)


def _find_caller() -> tuple[str, int]:
    """The innermost frame outside this module and the import system."""
    frame = sys._getframe(1)
    while frame.f_back and (frame.f_code.co_filename == __file__ or _IMPORTLIB in frame.f_code.co_filename):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def _is_library(file: str) -> bool:
    return file.startswith((_LIBRARY, _SDK, "<")) or any(part in file for part in _INSTALLED)


def _asked_by_library() -> bool:
    """Whether the asking code is not the author's: typing and pydantic compare annotations as a matter of course."""
    return _is_library(sys._getframe(2).f_code.co_filename)


class StandIn:
    """Anything taken from a stood-in module: a name, a base class, a decorator, an annotation; it has no value."""

    def __init__(self, module: str, qualname: str) -> None:
        self.__module__ = module
        self.__qualname__ = qualname
        self.__name__ = qualname.rpartition(".")[2]

    def __getattr__(self, name: str) -> Any:
        # Protocols are probed by such names (copy, pickle, pydantic, inspect): a yes to any of them would be believed.
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        made = StandIn(self.__module__, f"{self.__qualname__}.{name}")
        self.__dict__[name] = made
        return made

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        # As a decorator it gives back what it decorates, so that the endpoints of a class stay visible.
        if len(arguments) == 1 and not keywords and _is_decorable(arguments[0]):
            return arguments[0]
        return StandIn(self.__module__, f"{self.__qualname__}()")

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        first = next(base for base in bases if isinstance(base, StandIn))
        return (_Inherited,) if self is first else ()

    def __getitem__(self, item: Any) -> StandIn:
        return self

    def __or__(self, other: Any) -> Any:
        return Union[self, other]  # noqa: UP007

    def __ror__(self, other: Any) -> Any:
        return Union[other, self]  # noqa: UP007

    def __enter__(self) -> StandIn:
        return self

    def __exit__(self, *failure: object) -> None:
        return None

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, str]:
        return {"type": "any"}

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        if self is other or _asked_by_library():
            return self is other
        _refuse_use(self._full_name, "compares")

    def __bool__(self) -> bool:
        if _asked_by_library():
            return True
        _refuse_use(self._full_name, "asks for the truth of")

    def __instancecheck__(self, instance: object) -> bool:
        if _asked_by_library():
            return False
        _refuse_use(self._full_name, "asks for an instance of")

    def __subclasscheck__(self, subclass: type) -> bool:
        if _asked_by_library():
            return False
        _refuse_use(self._full_name, "asks for a subclass of")

    @property
    def _full_name(self) -> str:
        return f"{self.__module__}.{self.__qualname__}"

    def __repr__(self) -> str:
        return self._full_name


class _Inherited:
    """The base of classes that derive from a stand-in: it takes any keyword of theirs, as the real one may."""

    __slots__ = ()

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__()


def _is_decorable(value: Any) -> bool:
    return isinstance(value, type) or (
        callable(value) and not isinstance(value, StandIn) and hasattr(value, "__name__")
    )


def _make_refusal(what: str) -> Callable[..., NoReturn]:
    def refuse(self: StandIn, *arguments: Any) -> NoReturn:
        _refuse_use(self._full_name, what)

    return refuse


for _name, _what in {
    **dict.fromkeys(("__iter__", "__next__", "__aiter__", "__contains__", "__len__"), "goes through"),
    **dict.fromkeys(("__lt__", "__le__", "__gt__", "__ge__"), "compares"),
    **dict.fromkeys(("__int__", "__float__", "__index__", "__await__"), "asks for the value of"),
    **dict.fromkeys(
        ("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__", "__rtruediv__", "__neg__"),
        "calculates with",
    ),
}.items():
    setattr(StandIn, _name, _make_refusal(_what))


class StandInModule(ModuleType):
    """A stood-in module or package; every attribute is there."""

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            _refuse_use(self.__name__, "takes `*` from")
        if name.startswith("__") and name.endswith("__") and name != "__version__":
            raise AttributeError(name)
        made = StandIn(self.__name__, name)
        setattr(self, name, made)
        return made


class Finder:
    """Finds and makes the named top-level modules and everything below them. `used` are those that were asked for.

    When `closed`, it hides every other package that is installed here, but for the few that every image holds.
    """

    def __init__(self, names: Iterable[str], *, closed: bool = False) -> None:
        self.names = frozenset(names)
        self.closed = closed
        self.used: set[str] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top = name.partition(".")[0]
        if top not in self.names:
            if self.closed and name == "importlib.metadata":
                return self._wrap_metadata(path)
            if self.closed and path is None and top not in _KNOWN and _is_installed(name):
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            return None
        self.used.add(top)
        # A loader by its methods: importlib.abc takes longer to import than all the rest of this module.
        return ModuleSpec(name, cast(Any, self), is_package=True)

    def _wrap_metadata(self, path: Sequence[str] | None) -> ModuleSpec | None:
        """importlib.metadata, which then answers as the rest does: which versions are installed here says nothing."""
        spec = PathFinder.find_spec("importlib.metadata", path)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                self._hide_versions(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

    def _hide_versions(self, metadata: Any) -> None:
        find = metadata.Distribution.from_name

        def from_name(name: str) -> Any:
            folded = name.replace("_", "-").replace(".", "-").lower()
            module = folded.replace("-", "_")
            if module in _REAL:
                return find(name)
            if _is_library(_find_caller()[0]):
                known = _ASKED_BY_PYDANTIC.get(folded) if module in self.names else None
                return SimpleNamespace(version=known) if known else find(name)
            if module in self.names:
                _refuse_use(name, "asks for the version of")
            raise metadata.PackageNotFoundError(name)

        metadata.Distribution.from_name = from_name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return StandInModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        return None


def _is_installed(name: str) -> bool:
    spec = PathFinder.find_spec(name)
    if spec is None:
        return False
    places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or ())
    return bool(places) and all(any(part in f"{place}{os.sep}" for part in _INSTALLED) for place in places)


def install_finder(names: Iterable[str], *, closed: bool = False) -> Finder:
    """Stand in for these modules from now on in this process, whether they are installed or not."""
    finder = Finder(names, closed=closed)
    if closed and (metadata := sys.modules.get("importlib.metadata")):
        finder._hide_versions(metadata)
    for loaded in [name for name in sys.modules if name.partition(".")[0] in finder.names]:
        del sys.modules[loaded]
    sys.meta_path.insert(0, finder)
    return finder
