"""`dynamo diff`: compare two bentos."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dynamo_build.cli import console
from dynamo_build.cli.options import OutputForm, checked_output

if TYPE_CHECKING:
    from dynamo_build.bento.diff import Comparison

_PARTS = ("files", "packages", "config", "api", "services", "layers", "other")


def diff(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="A bento.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="Another bento.")],
    output: OutputForm = "text",
) -> None:
    """Compare two bentos: files, locked packages, configuration, API, services, layers and other fields.

    Example: dynamo diff frontend:kq2xw5mplz7rbn4t frontend
    """
    from dynamo_build.bento.diff import compare
    from dynamo_build.bento.store import Store
    from dynamo_build.seams import default_home

    checked_output(output)
    store = Store(default_home())
    found = compare(store.get(before), store.get(after))
    changed = [part for part in _PARTS if getattr(found, part)]
    console.emit(found, output, text=lambda: "\n".join(_lines(found)), name="\n".join(changed))


def _lines(found: Comparison) -> list[str]:
    lines = []
    for part in _PARTS:
        for change in getattr(found, part):
            if change.before is None:
                lines.append(f"{part:8}  + {_told(part, change.what, change.after)}")
            elif change.after is None:
                lines.append(f"{part:8}  - {_told(part, change.what, change.before)}")
            elif part == "files":
                lines.append(f"{part:8}  ~ {change.what}")
            else:
                lines.append(f"{part:8}  ~ {change.what}: {_short(change.before)} → {_short(change.after)}")
    return lines or [f"{found.before} and {found.after} are the same"]


def _told(part: str, what: str, value: Any) -> str:
    return what if part == "files" else f"{what}: {_short(value)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= 60 else f"{text[:59]}…"
