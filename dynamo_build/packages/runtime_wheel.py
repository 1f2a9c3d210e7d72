"""The runtime in every bento: a reproducible wheel of the `dynamo` package.

It has what an image needs: no load generator, and a layer for another SDK only where the graph uses it.

Source: the binary distribution format (PEP 427) and core metadata 2.4. Members are stored, not compressed, since
compressors differ; stamps are 1980-01-01, modes fixed, names sorted.
"""

from __future__ import annotations

import base64
import hashlib
import io
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import dynamo
from dynamo_build.errors import UsageError
from dynamo_build.system import atomic

DISTRIBUTION = "dynamo-runtime"
_TOOLS = "bench"
_LAYERS = "sdk/compatible"
_STAMP = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A wheel in memory."""

    name: str
    content: bytes


def write_runtime_wheel(folder: Path) -> Path:
    """Write the wheel into a folder. Raises UsageError for a foreign `dynamo` package, StoreError for the disk."""
    wheel = build_runtime_wheel()
    with atomic.wrap_os_error("write the runtime's wheel"):
        path = folder / wheel.name
        path.write_bytes(wheel.content)
    return path


def build_runtime_wheel(layers: Iterable[str] = ()) -> Wheel:
    """The wheel of the installed runtime. Raises UsageError for a foreign `dynamo` package.

    `layers` are the names of the SDKs whose compatibility layers it has: folders of `dynamo.sdk.compatible`.
    """
    package, wanted = _locate_package(), frozenset(layers)
    version = str(dynamo.__version__)
    stem = f"{DISTRIBUTION.replace('-', '_')}-{version}"
    names = (name for name in _list_members(package) if _is_wanted(name, wanted))
    members = {f"dynamo/{name}": (package / name).read_bytes() for name in names}
    members[f"{stem}.dist-info/METADATA"] = _format_metadata(version)
    members[f"{stem}.dist-info/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: dynamo-build\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    members[f"{stem}.dist-info/entry_points.txt"] = _format_entry_points()
    record = f"{stem}.dist-info/RECORD"
    lines = [f"{name},sha256={_encode_digest(members[name])},{len(members[name])}\n" for name in sorted(members)]
    ordered = [(name, members[name]) for name in sorted(members)]
    ordered.append((record, "".join([*lines, f"{record},,\n"]).encode()))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in ordered:
            entry = zipfile.ZipInfo(name, _STAMP)
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    return Wheel(name=f"{stem}-py3-none-any.whl", content=buffer.getvalue())


def list_runtime_requirements() -> tuple[str, ...]:
    """What the runtime itself needs: PEP 508 lines that are part of every bento's lock."""
    return tuple(_read_project()["dependencies"])


def _locate_package() -> Path:
    where = next(iter(getattr(dynamo, "__path__", [])), "?")
    if getattr(dynamo, "DISTRIBUTION", "") != DISTRIBUTION:
        raise UsageError(
            f"the `dynamo` package in `{where}` is not ours",
            ["It belongs to another distribution (ai-dynamo?): uninstall that, or use an environment of its own."],
        )
    return Path(where)


def _list_members(package: Path) -> list[str]:
    found = (path for path in package.rglob("*") if path.suffix != ".pyc" and path.is_file())
    names = (path.relative_to(package).as_posix() for path in found)
    return sorted(
        name for name in names if "__pycache__" not in name and not any(p.startswith(".") for p in name.split("/"))
    )


def _is_wanted(name: str, layers: frozenset[str]) -> bool:
    if name.startswith(f"{_TOOLS}/"):
        return False
    below = name.removeprefix(f"{_LAYERS}/")
    layer, _, rest = below.partition("/")
    return below == name or not rest or layer in layers


@cache
def _read_project() -> Mapping[str, Any]:
    """`[project]` of the runtime: from the toolchain's wheel, else from the checkout that the package lies in."""
    for path in (Path(__file__).parents[1] / "runtime.toml", _locate_package().parent / "pyproject.toml"):
        if path.is_file():
            with path.open("rb") as stream:
                project: Mapping[str, Any] = tomllib.load(stream)["project"]
            return project
    raise UsageError("the runtime's metadata is not there", ["Install dynamo-build anew."])


def _format_metadata(version: str) -> bytes:
    project = _read_project()
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {DISTRIBUTION}",
        f"Version: {version}",
        f"Summary: {project['description']}",
        f"License-Expression: {project['license']}",
        f"Requires-Python: {project['requires-python']}",
        *(f"Requires-Dist: {line}" for line in project["dependencies"]),
    ]
    return ("\n".join(lines) + "\n").encode()


def _format_entry_points() -> bytes:
    """In the form of the entry points specification of PyPA: sections in the order of their names."""
    groups = dict(_read_project().get("entry-points", {}))
    sections = []
    for group in sorted(groups):
        lines = [f"{name} = {value}" for name, value in sorted(groups[group].items())]
        sections.append("\n".join([f"[{group}]", *lines]))
    return ("\n\n".join(sections) + "\n").encode()


def _encode_digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
