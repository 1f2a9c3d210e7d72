"""Types of endpoints as names and as JSON Schemas, without importing the library that defines them."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import json
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any

_SCALARS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    bytes: {"type": "string", "format": "binary"},
    type(None): {"type": "null"},
}
_ARRAYS = (list, tuple, set, frozenset, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Set)
_OBJECTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_STREAMS = (
    collections.abc.AsyncIterator,
    collections.abc.AsyncGenerator,
    collections.abc.AsyncIterable,
    collections.abc.Iterator,
    collections.abc.Generator,
)


def type_name(annotation: Any) -> str:
    """`module.QualifiedName` of a type; builtins without module; "" for no annotation."""
    if annotation is None or annotation is type(None):
        return "None"
    if isinstance(annotation, str):
        return annotation
    if typing.get_origin(annotation) is not None:
        return str(annotation).replace("typing.", "").replace("collections.abc.", "")
    name = getattr(annotation, "__qualname__", None) or getattr(annotation, "__name__", None)
    module = getattr(annotation, "__module__", "")
    if not isinstance(name, str):
        return str(annotation)
    return name if module in ("builtins", "typing", "") else f"{module}.{name}"


def unwrap_stream(annotation: Any) -> tuple[bool, Any]:
    """Whether a return annotation is a stream, and then the type of its items."""
    origin = typing.get_origin(annotation) or annotation
    if origin in _STREAMS:
        arguments = typing.get_args(annotation)
        return True, arguments[0] if arguments else Any
    return False, annotation


def json_schema(annotation: Any) -> dict[str, Any]:
    """The JSON Schema of a type; `{}`, which admits everything, where nothing is known."""
    if isinstance(annotation, type) and annotation in _SCALARS:
        return dict(_SCALARS[annotation])
    if annotation is None:
        return {"type": "null"}
    model = _model_schema(annotation)
    if model is not None:
        return model
    origin = typing.get_origin(annotation) or annotation
    arguments = typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [json_schema(item) for item in arguments]}
    if origin is typing.Annotated:
        return json_schema(arguments[0])
    if origin is typing.Literal:
        return {"enum": [item for item in arguments if isinstance(item, (str, int, bool, type(None)))]}
    if origin in _ARRAYS:
        items = json_schema(arguments[0]) if arguments else {}
        return {"type": "array", **({"items": items} if items else {})}
    if origin in _OBJECTS:
        values = json_schema(arguments[1]) if len(arguments) == 2 else {}
        return {"type": "object", **({"additionalProperties": values} if values else {})}
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return {"enum": [item.value for item in annotation]}
    if dataclasses.is_dataclass(annotation) or typing.is_typeddict(annotation):
        return {"type": "object", "title": getattr(annotation, "__name__", "")}
    return {}


def is_model(annotation: Any) -> bool:
    """Whether it is a pydantic model: a class that describes itself."""
    return isinstance(annotation, type) and callable(getattr(annotation, "model_json_schema", None))


def _model_schema(annotation: Any) -> dict[str, Any] | None:
    if not is_model(annotation):
        return None
    try:
        return typing.cast(dict[str, Any], annotation.model_json_schema())
    except (TypeError, ValueError, RuntimeError):
        # pydantic's errors for members without a schema, or not yet defined, are of these; a schema is a courtesy.
        return {"type": "object", "title": annotation.__name__}


def object_schema(properties: Mapping[str, Any], required: list[str]) -> dict[str, Any]:
    """One object of several typed members; the definitions of nested schemas move to the top."""
    definitions: dict[str, Any] = {}
    members = {}
    for name, annotation in properties.items():
        schema = dict(json_schema(annotation))
        definitions.update(schema.pop("$defs", {}))
        members[name] = schema
    result: dict[str, Any] = {"type": "object", "properties": members}
    if required:
        result["required"] = required
    if definitions:
        result["$defs"] = definitions
    return result


def is_unservable(annotation: Any, project_modules: frozenset[str]) -> bool:
    """Whether values of this type cannot travel: a plain class of the project or of the standard library."""
    arguments = typing.get_args(annotation)
    if arguments and typing.get_origin(annotation) is not typing.Literal:
        return any(is_unservable(item, project_modules) for item in arguments if isinstance(item, type))
    if not isinstance(annotation, type) or annotation in _SCALARS or annotation is object:
        return False
    if annotation in _ARRAYS or annotation in _OBJECTS or annotation in _STREAMS:
        return False
    described = (
        dataclasses.is_dataclass(annotation)
        or typing.is_typeddict(annotation)
        or issubclass(annotation, (enum.Enum, tuple, str, int, float, dict, list, bytes))
        or any(
            hasattr(annotation, name)
            for name in ("model_json_schema", "__get_pydantic_core_schema__", "__struct_fields__")
        )
    )
    if described:
        return False
    top = annotation.__module__.partition(".")[0]
    data = {"datetime", "uuid", "decimal", "pathlib", "typing", "collections", "ipaddress", "fractions"}
    return annotation.__module__ in project_modules or (top in sys.stdlib_module_names and top not in data)


def json_value(value: Any) -> Any:
    """A default as JSON, or None where JSON has no form of it."""
    if isinstance(value, enum.Enum):
        value = value.value
    if callable(getattr(value, "model_dump", None)) and not isinstance(value, type):
        value = value.model_dump(mode="json")
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        return None
