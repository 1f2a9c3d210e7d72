"""The files of an image as an engine has them, for comparing what two builders made of one plan."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import re
import tarfile
from dataclasses import dataclass
from typing import Any

APPLICATION = "app/"


@dataclass(frozen=True, slots=True)
class Seen:
    """What is compared of a file: kind and link, whether it is executable, owner, and content."""

    kind: str
    executable: bool
    owner: tuple[int, int]
    content: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def application(client: Any, image: str) -> dict[str, Seen]:
    """All files and folders below /app of an image in the engine."""
    container = client.containers.create(image)
    try:
        packed = io.BytesIO(b"".join(container.export()))
    finally:
        container.remove(force=True)
    found = {}
    with contextlib.closing(tarfile.open(fileobj=packed)) as archive:
        for member in archive:
            name = member.name.lstrip("./")
            if name.startswith(APPLICATION) or name == APPLICATION.rstrip("/"):
                opened = archive.extractfile(member) if member.isfile() else None
                found[name] = Seen(
                    kind="file" if member.isfile() else f"{member.type!r}{member.linkname}",
                    executable=bool(member.mode & 0o111),
                    owner=(member.uid, member.gid),
                    content=opened.read() if opened else b"",
                )
    return found


def differences(one: dict[str, Seen], other: dict[str, Seen]) -> list[str]:
    """What differs between two trees, but for what two installers may do in their own ways.

    These are INSTALLER, the mark REQUESTED, the text around the import in the start of a console script, and in RECORD
    the lines of all these and of compiled modules, and pip's `../../bin/` for what it moved below `--target`
    (PyPA specifications "Recording installed projects" and "Entry points").
    """
    found = []
    for name in sorted({*one, *other}):
        last = name.rpartition("/")[2]
        if last in ("INSTALLER", "REQUESTED", "direct_url.json"):
            continue
        if name not in one or name not in other:
            found.append(f"{name}: only in the {'second' if name not in one else 'first'}")
            continue
        here, there = one[name], other[name]
        if (here.kind, here.executable, here.owner) != (there.kind, there.executable, there.owner):
            found.append(
                f"{name}: {here.kind, here.executable, here.owner} and {there.kind, there.executable, there.owner}"
            )
        elif last == "RECORD":
            found += [f"{name}: {line}" for line in sorted(_recorded(here.content) ^ _recorded(there.content))]
        elif here.content != there.content and not _starts_the_same(here.content, there.content):
            found.append(f"{name}: {here.digest[:12]} and {there.digest[:12]}: {_first(here.content, there.content)}")
    return found


def unrecorded(tree: dict[str, Seen], top: str) -> list[str]:
    """What is wrong with the RECORDs below a folder: files that are not as recorded, and files that none records."""
    found, recorded = [], set()
    for name, seen in tree.items():
        if not name.startswith(top) or not name.endswith(".dist-info/RECORD"):
            continue
        for path, digest, size in csv.reader(io.StringIO(seen.content.decode())):
            whole = f"{top}{path}"
            recorded.add(whole)
            if whole not in tree:
                found.append(f"{whole} is recorded and not there")
            elif size and len(tree[whole].content) != int(size):
                found.append(f"{whole} has another size than {digest}")
    rest = [
        name for name, seen in tree.items() if name.startswith(top) and seen.kind == "file" and name not in recorded
    ]
    return found + [f"{name} is there and not recorded" for name in sorted(rest)]


def _recorded(content: bytes) -> set[str]:
    lines = set()
    for path, digest, size in csv.reader(io.StringIO(content.decode())):
        path = path.replace("../../bin/", "bin/")
        if not path.endswith((".pyc", "/INSTALLER", "/REQUESTED", "/direct_url.json")):
            lines.add(path if path.startswith("bin/") else f"{path},{digest},{size}")
    return lines


def _starts_the_same(one: bytes, other: bytes) -> bool:
    """Whether both are console scripts that start the same function with a Python of the image."""
    started = [re.findall(rb"^from \S+ import \S+$", text, re.MULTILINE) for text in (one, other)]
    return started[0] == started[1] != [] and all(re.match(rb"#!/usr/\S*python[\d.]*\n", text) for text in (one, other))


def _first(one: bytes, other: bytes) -> str:
    at = next((at for at, (here, there) in enumerate(zip(one, other, strict=False)) if here != there), 0)
    return f"at {at}: {one[at : at + 40]!r} and {other[at : at + 40]!r}"
