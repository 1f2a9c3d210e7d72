"""An API server's answer, and what it means in one line.

Source: Kubernetes API conventions, "Response Status Kind". Server-side apply answers a mistake in a manifest with 500;
such a 500 must not be retried.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dynamo_build.errors import DeployError

_MANIFEST_MISTAKES = ("failed to create typed patch object", "failed to convert new object", "failed to create manager")
_CHECK = "`dynamo deploy --check` finds most of these offline."
_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')
_TEMPORARY = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Status, parsed body, headers (lower-case names) and the text that the body was."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""

    @property
    def is_ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def message(self) -> str:
        return str(self.body.get("message", "")) if isinstance(self.body, Mapping) else ""

    @property
    def reason(self) -> str:
        return str(self.body.get("reason", "")) if isinstance(self.body, Mapping) else ""

    @property
    def causes(self) -> tuple[str, ...]:
        """`field: message` of each cause that the server gives."""
        details = self.body.get("details") if isinstance(self.body, Mapping) else None
        found = details.get("causes") if isinstance(details, Mapping) else None
        return tuple(f"{item.get('field', '')}: {item.get('message', '')}" for item in found or ())

    @property
    def warnings(self) -> tuple[str, ...]:
        """The texts of the `Warning` header, RFC 7234 section 5.5."""
        found = _WARNING.findall(self.headers.get("warning", ""))
        return tuple(re.sub(r"\\(.)", r"\1", text) for text in found)

    @property
    def is_manifest_mistake(self) -> bool:
        return self.status == 500 and any(text in self.message for text in _MANIFEST_MISTAKES)

    @property
    def is_temporary(self) -> bool:
        """Whether asking again may help."""
        return self.status in _TEMPORARY and not self.is_manifest_mistake

    @property
    def retry_after(self) -> float | None:
        text = self.headers.get("retry-after", "")
        return float(text) if text.isdigit() else None


def parse_answer(status: int, body: bytes, headers: Mapping[str, str]) -> Answer:
    """An answer; a body that is not JSON becomes its message."""
    text = body.decode("utf-8", "replace")
    try:
        parsed = json.loads(body) if body else None
    except ValueError:
        parsed = {"message": text.strip()[:500]}
    lower = {key.lower(): value for key, value in headers.items()}
    return Answer(status=status, body=parsed, headers=lower, text=text)


def build_answer_error(answer: Answer, what: str) -> DeployError:
    """The error for an answer that is not a success; `what` is `Kind/name` or what was asked."""
    message = " ".join(answer.message.split()) or f"status {answer.status}"
    if answer.causes:
        return DeployError(f"{what} is invalid: {'; '.join(answer.causes)}", [_CHECK])
    if answer.is_manifest_mistake:
        where = message.partition("): ")[2] or message
        return DeployError(f"{what} is invalid: {where}", [_CHECK])
    if answer.status == 401:
        return DeployError("the cluster does not know you (401)", ["Log in again, or choose another --context."])
    if answer.status == 403:
        return DeployError(f"{what}: {message}", ["Ask for a Role that allows this, or choose another --namespace."])
    if answer.status == 409 and "conflict" in message.lower():
        hint = "Another tool owns these fields: leave them to it, or take them with --force."
        return DeployError(f"{what}: {message}", [hint])
    if answer.status == 404 and "namespaces" in message:
        return DeployError(f"{what}: {message}", ["Create it, or add --option create-namespace=true."])
    if answer.status == 404:
        return DeployError(f"{what}: {message}", ["The cluster does not serve this kind: install what defines it."])
    return DeployError(f"{what}: the cluster answered {answer.status}: {message}")
