"""What is in a store, in lines: each bento's own side file says it, and an index saves reading the same ones again.

The index holds every line with the stamps of the files that it came from, so it cannot disagree with the store: a line
whose files have other stamps is read anew, a damaged or missing index is no index, and a broken bento breaks no other.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dynamo_build.errors import StoreError
from dynamo_build.model.summary import BentoSummary
from dynamo_build.system import atomic

SIDE = "build.json"
MANIFEST = "bento.yaml"
_WHERE = "cache/list/index.json"
_FORMAT = 1
_GRAIN = 2_000_000_000
_FEW = 50


def summaries(root: Path) -> tuple[BentoSummary, ...]:
    """All bentos of the store below `root`, the newest first; a damaged one says so. Raises StoreError."""
    known, lines, found, read = _load(root), {}, [], 0
    before = time.time_ns() - _GRAIN
    bentos = str(root / "bentos")
    with atomic.reporting("read the store"):
        for name in folders(bentos):
            for version in folders(f"{bentos}/{name}"):
                tag = f"{name}:{version}"
                stamp, youngest = _stamp(f"{bentos}/{name}/{version}")
                line = known.get(tag)
                if line is not None and stamp and line[0] == stamp:
                    found.append(_decoded(tag, line[1]))
                    lines[tag] = line
                    continue
                summary = summary_of(bentos, name, version)
                if summary.broken and not os.path.isdir(f"{bentos}/{name}/{version}"):
                    continue  # deleted a moment ago
                found.append(summary)
                read += 1
                if stamp and youngest < before and not summary.broken:
                    lines[tag] = (stamp, _encoded(summary))
    if read > _FEW and len(lines) > _FEW:
        _save(root, lines)
    return tuple(sorted(found, key=lambda summary: (summary.created, summary.tag), reverse=True))


def summary_of(bentos: str | Path, name: str, version: str) -> BentoSummary:
    """The line of one bento, from its side file."""
    folder = f"{bentos}/{name}/{version}"
    try:
        with open(f"{folder}/{SIDE}", "rb") as stream:
            side = json.loads(stream.read())
        if not os.path.isfile(f"{folder}/{MANIFEST}"):
            raise ValueError(f"it has no {MANIFEST}")
        return BentoSummary(
            tag=f"{name}:{version}",
            size=int(side["size"]),
            created=str(side["created"]),
            entry=str(side["entry"]),
            services=tuple(str(service) for service in side["services"]),
            project=str(side.get("project", "")),
        )
    except OSError as error:
        return BentoSummary(tag=f"{name}:{version}", broken=f"{SIDE}: {(error.strerror or str(error)).lower()}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return BentoSummary(tag=f"{name}:{version}", broken=f"{SIDE}: {error}")


def folders(folder: str | Path) -> list[str]:
    """The names of the folders in a folder, sorted; [] when it is not there. Raises OSError."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


def _stamp(folder: str) -> tuple[list[int], int]:
    """What is equal while the line of a bento stays, and its latest time; ([], 0) for a broken one."""
    try:
        side, manifest = os.stat(f"{folder}/{SIDE}"), os.stat(f"{folder}/{MANIFEST}")
    except OSError:
        return [], 0
    youngest = max(side.st_mtime_ns, side.st_ctime_ns)
    return [side.st_size, side.st_mtime_ns, side.st_ctime_ns, side.st_ino, side.st_dev, manifest.st_ino], youngest


def _load(root: Path) -> Mapping[str, tuple[list[int], list[Any]]]:
    try:
        document = json.loads((root / _WHERE).read_bytes())
        if document["format"] != _FORMAT:
            return {}
        return {tag: (stamp, line) for tag, (stamp, line) in document["bentos"].items() if _is_line(line)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _is_line(line: Any) -> bool:
    if not isinstance(line, list) or [type(item) for item in line] != [int, str, str, list, str]:
        return False
    return all(isinstance(service, str) for service in line[3])


def _encoded(summary: BentoSummary) -> list[Any]:
    return [summary.size, summary.created, summary.entry, list(summary.services), summary.project]


def _decoded(tag: str, line: list[Any]) -> BentoSummary:
    size, created, entry, services, project = line
    return BentoSummary(tag=tag, size=size, created=created, entry=entry, services=tuple(services), project=project)


def _save(root: Path, lines: Mapping[str, Iterable[Any]]) -> None:
    """Keep the lines. An index that cannot be written is no error."""
    content = json.dumps({"format": _FORMAT, "bentos": lines}, separators=(",", ":")).encode()
    try:
        with atomic.reporting("write the index"):
            atomic.keep(root / _WHERE, content)
    except StoreError:
        return
