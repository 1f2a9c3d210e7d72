"""Upkeep of the store: check bentos, choose versions to delete, and collect garbage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dynamo_build.bento import verify
from dynamo_build.bento.store import Store
from dynamo_build.errors import StoreError, UsageError
from dynamo_build.model.reference import BentoTag


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """The tags that were, or would be, deleted, and the bytes of unfinished work that were removed."""

    deleted: tuple[str, ...] = ()
    freed: int = 0


def verify_bentos(store: Store, tags: Sequence[str] = ()) -> Mapping[str, tuple[str, ...]]:
    """What is wrong with each bento, by its tag; all bentos without `tags`. Raises StoreError for an unknown tag."""
    wanted = [str(store.find(tag)) for tag in tags] if tags else [item.tag for item in store.list()]
    problems: dict[str, tuple[str, ...]] = {}
    for tag in wanted:
        try:
            bento = store.get(tag)
            problems[tag] = verify.verify(Path(bento.folder), bento.manifest)
        except StoreError as error:
            problems[tag] = (error.message,)
    return problems


def select_versions(store: Store, names: Sequence[str], *, every: bool = False) -> tuple[str, ...]:
    """The tags that `names` mean for a deletion: each names a version, or with `every` all versions of a name.

    Raises UsageError for a name without a version, StoreError for a bento that is not there.
    """
    tags: list[str] = []
    for text in names:
        tag = BentoTag.parse(text)
        if every and not tag.version:
            versions = [item.tag for item in store.list() if item.tag.partition(":")[0] == tag.name]
            tags += versions or [str(store.find(tag))]
        elif not tag.version and not text.endswith(":latest"):
            raise UsageError(f"`{text}` names no version", ["Write `name:version`, `name:latest`, or add `--all`."])
        else:
            tags.append(str(store.find(tag)))
    return tuple(dict.fromkeys(tags))


def collect_garbage(store: Store, keep: int = 0, *, dry_run: bool = False) -> Garbage:
    """Remove what dead builds left behind and, unless `keep` is 0, all but the `keep` newest versions of each name.

    The version that `latest` names stays. Nothing is removed with `dry_run`. Raises StoreError.
    """
    seen: dict[str, int] = {}
    old: list[str] = []
    for item in store.list():
        name = item.tag.partition(":")[0]
        seen[name] = seen.get(name, 0) + 1
        if keep and seen[name] > keep and item.tag != f"{name}:{store.latest(name)}":
            old.append(item.tag)
    if dry_run:
        return Garbage(deleted=tuple(old))
    freed = store.clean()
    for tag in old:
        store.delete(tag)
    return Garbage(deleted=tuple(old), freed=freed)
