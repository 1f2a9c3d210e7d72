"""A line of `dynamo list`, apart from the manifest, so that listing loads no graph."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BentoSummary:
    """A bento of the store in one line. `created` is ISO 8601 in UTC; `broken` says why it cannot be used."""

    tag: str
    size: int = 0
    created: str = ""
    entry: str = ""
    services: tuple[str, ...] = ()
    project: str = ""
    broken: str = ""
