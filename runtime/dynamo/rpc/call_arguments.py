"""A handler's arguments from a body: by annotation, with pydantic, the same for calls and for HTTP."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from pydantic import BaseModel, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

from dynamo.sdk.errors import BadRequest

_TEXT = (str, bytes)


class Argument:
    """One parameter of a handler, and how a value is made for it."""

    def __init__(self, parameter: inspect.Parameter, annotation: Any) -> None:
        self.name = parameter.name
        self.required = parameter.default is inspect.Parameter.empty
        self.annotation = annotation
        self.model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
        self.whole = self.model or _is_mapping(annotation)
        # A text is an annotation whose names are not known at run time, such as those imported for type checkers only.
        self.free = annotation in (inspect.Parameter.empty, Any) or isinstance(annotation, str)
        self._adapter: TypeAdapter[Any] | None = None
        if not self.free:
            try:
                self._adapter = TypeAdapter(annotation)
            except (PydanticSchemaGenerationError, PydanticUserError):
                self.free = True

    def convert_value(self, value: Any) -> Any:
        """The value as the annotation wants it; text that is JSON is parsed. Raises BadRequest."""
        if self._adapter is None:
            return _parse_json(value) if isinstance(value, _TEXT) else value
        try:
            if isinstance(value, _TEXT) and self._is_structured():
                return self._adapter.validate_json(value)
            return self._adapter.validate_python(value)
        except ValidationError as error:
            raise BadRequest(_describe_error(error, self.name)) from error

    def _is_structured(self) -> bool:
        return self.whole or self.annotation is list or typing.get_origin(self.annotation) is list


class Arguments:
    """All parameters of a handler. Raises TypeError for a handler that cannot be called by name."""

    def __init__(self, handler: Callable[..., Any]) -> None:
        hints = _read_hints(handler)
        self.takes_any = False
        self.arguments: list[Argument] = []
        for name, parameter in inspect.signature(handler).parameters.items():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                self.takes_any = True
            elif parameter.kind is not inspect.Parameter.VAR_POSITIONAL:
                self.arguments.append(Argument(parameter, hints.get(name, parameter.annotation)))
        self.single = len(self.arguments) == 1 and not self.takes_any
        self._only = self.arguments[0] if self.single else None

    def from_call(self, body: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments from a call's body: one parameter takes all of it, several take its keys. Raises BadRequest."""
        if self._only is not None:
            if body is None and not self._only.required:
                return (), {}
            return (self._only.convert_value(body),), {}
        return (), self.from_keys(body)

    def from_keys(self, body: Any) -> dict[str, Any]:
        """Arguments from the keys of an object. Raises BadRequest."""
        if isinstance(body, _TEXT):
            body = _parse_json(body)
        if body is None:
            body = {}
        if not isinstance(body, Mapping):
            raise BadRequest(f"expected an object with the keys {self._format_names()}, got {_describe_kind(body)}")
        missing = [item.name for item in self.arguments if item.required and item.name not in body]
        if missing:
            raise BadRequest(f"missing {', '.join(f'`{name}`' for name in missing)}; expected {self._format_names()}")
        values = {item.name: item.convert_value(body[item.name]) for item in self.arguments if item.name in body}
        if self.takes_any:
            values.update({key: value for key, value in body.items() if key not in values})
        return values

    def _format_names(self) -> str:
        return ", ".join(f"`{item.name}`" for item in self.arguments) or "none"


def _is_mapping(annotation: Any) -> bool:
    kind = typing.get_origin(annotation) or annotation
    return isinstance(kind, type) and issubclass(kind, Mapping)


def _read_hints(handler: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(handler)
    except (NameError, TypeError, AttributeError):
        return {}


def _parse_json(text: str | bytes) -> Any:
    stripped = text.strip()
    if stripped[:1] not in ("{", "[", b"{", b"["):
        return text
    try:
        return msgspec.json.decode(stripped)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return text


def _describe_kind(value: Any) -> str:
    names = {str: "text", bytes: "bytes", list: "a list", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)


def _describe_error(error: ValidationError, name: str) -> str:
    parts = []
    for item in error.errors(include_url=False, include_context=False, include_input=False)[:5]:
        where = ".".join(str(part) for part in item["loc"]) or name
        parts.append(f"`{where}`: {item['msg'][:1].lower()}{item['msg'][1:]}")
    more = error.error_count() - 5
    return "; ".join(parts) + (f"; and {more} more" if more > 0 else "")
