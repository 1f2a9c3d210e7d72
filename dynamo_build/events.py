"""Events that the library emits while it works. A listener renders them; nothing below the command line prints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A stage began."""

    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Some of a stage is done; `done` and `total` are in `unit` (bytes unless said), total 0 means unknown."""

    what: str
    done: int
    total: int = 0
    unit: str = "bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One line of a program that was run."""

    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """Something worth one line: a choice that was made, and why."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """Something the user should look at, though the work goes on."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """How several things stand now, for a terminal to draw in place; what changes is also told line by line."""

    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A stage ended well. `detail` is a short result such as a size or a digest."""

    what: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPushed:
    """A registry has a layer. `how`: it was sent now, was there already, or was mounted from another repository."""

    digest: str
    how: Literal["sent", "there", "mounted"]

    @property
    def was_sent(self) -> bool:
        """Whether its bytes were sent now."""
        return self.how == "sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardStarted:
    """The dashboard of a graph that `serve` runs answers at this address."""

    address: str


Event: TypeAlias = Started | Progress | Output | Noted | Warned | Table | Finished | LayerPushed | DashboardStarted
Listener: TypeAlias = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener that listens to nothing."""
