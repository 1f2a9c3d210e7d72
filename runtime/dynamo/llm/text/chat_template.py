"""Conversations as the text that a model was trained on, by the template that comes with the model."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from dynamo.sdk.errors import BadRequest

PLAIN = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] or '' }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
"""For models without a template of their own."""
_LONGEST = 1 << 20


class TemplateBroken(ValueError):
    """A model's chat template is none."""


def _raise_error(message: str) -> None:
    raise TemplateError(message)


def _dump_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


class ChatTemplate:
    """A template, which is somebody else's program: it runs in Jinja2's sandbox and changes nothing.

    Source: the names and settings that transformers gives to templates.
    """

    def __init__(self, source: str = PLAIN, **tokens: str) -> None:
        if len(source) > _LONGEST:
            raise TemplateBroken(f"a template of {len(source)} characters is too long")
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        environment.filters["tojson"] = _dump_json
        environment.globals["raise_exception"] = _raise_error
        environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
        self._tokens = {name: token for name, token in tokens.items() if token}
        try:
            self._template = environment.from_string(source)
        except (TemplateError, RecursionError) as error:
            raise TemplateBroken(f"the model's chat template cannot be read: {error}") from error

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        generate: bool = True,
        more: Mapping[str, Any] | None = None,
    ) -> str:
        """The text of a conversation; with `generate`, up to where the answer begins. Raises BadRequest."""
        values = {"documents": None, **self._tokens, **(more or {})}
        try:
            return self._template.render(
                messages=[_flatten_content(message) for message in messages],
                tools=list(tools) if tools else None,
                add_generation_prompt=generate,
                **values,
            )
        except TemplateError as error:
            raise BadRequest(f"the model's chat template refuses the conversation: {error.message}") from error
        except (TypeError, ValueError, LookupError, ArithmeticError, RecursionError, MemoryError) as error:
            raise BadRequest(f"the model's chat template cannot say this conversation: {error}") from error


def _flatten_content(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message whose content is text: parts are joined, since templates of text models know no parts."""
    content = message.get("content")
    if isinstance(content, list):
        others = [str(part.get("type")) for part in content if part.get("type") not in ("text", "refusal")]
        if others:
            raise BadRequest(f"this model takes text alone, not `{others[0]}`")
        content = "".join(str(part.get("text", part.get("refusal", ""))) for part in content)
    return {**message, "content": content}
