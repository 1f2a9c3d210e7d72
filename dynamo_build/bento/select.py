"""Which bento a command is about: the one named, else the one built last from this folder."""

from __future__ import annotations

from pathlib import Path

from dynamo_build.bento.store import Store
from dynamo_build.errors import StoreError
from dynamo_build.events import Listener, Noted, ignore
from dynamo_build.model.bento import Bento
from dynamo_build.seams import Surroundings, default_home


def store(surroundings: Surroundings | None = None) -> Store:
    """The store of bentos that the environment names."""
    return Store(default_home((surroundings or Surroundings()).environment))


def chosen(tag: str, project: Path, surroundings: Surroundings | None = None, on: Listener = ignore) -> Bento:
    """The bento of a tag; without one, the bento built last from this folder, which is said. Raises StoreError."""
    bentos = store(surroundings)
    wanted = tag or bentos.last_built_from(project)
    if not wanted:
        raise StoreError(
            "no bento was built from this folder", ["Name one (see `dynamo list`), or build one with `dynamo build`."]
        )
    if not tag:
        on(Noted(text=f"using `{wanted}`, the bento built last from this folder"))
    return bentos.get(wanted)
