"""The runtime's wheel."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import pytest

import dynamo
from dynamo_build.errors import UsageError
from dynamo_build.packages import runtime_wheel


def test_the_wheel_is_the_same_wherever_it_is_made(tmp_path: Path) -> None:
    """Another process with another hash seed, locale and time zone gives the same bytes."""
    code = "import sys; from dynamo_build.packages.runtime_wheel import build_runtime_wheel; sys.stdout.buffer.write(build_runtime_wheel().content)"
    other = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": "7", "LC_ALL": "C", "TZ": "Asia/Tokyo"},
        capture_output=True,
        check=True,
    ).stdout
    path = runtime_wheel.write_runtime_wheel(tmp_path)
    assert path.read_bytes() == other
    assert path.name == f"dynamo_runtime-{dynamo.__version__}-py3-none-any.whl"


def test_the_record_is_right() -> None:
    """RECORD names every member once with its digest and size; stamps and modes are fixed."""
    archive = zipfile.ZipFile(io.BytesIO(runtime_wheel.build_runtime_wheel().content))
    names = archive.namelist()
    record = next(name for name in names if name.endswith("/RECORD"))
    rows = {row[0]: row[1:] for row in csv.reader(archive.read(record).decode().splitlines())}
    assert set(rows) == set(names)
    for name, (digest, size) in rows.items():
        if name != record:
            content = archive.read(name)
            wanted = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={wanted}", str(len(content)))
    assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert "dynamo/sdk/graph.py" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_only_what_an_image_needs_is_in_it() -> None:
    """The load generator never travels; a layer for another SDK does where the graph uses it."""

    def names(*layers: str) -> set[str]:
        return set(zipfile.ZipFile(io.BytesIO(runtime_wheel.build_runtime_wheel(layers).content)).namelist())

    plain, with_layer = names(), names("bentoml")
    assert not [name for name in with_layer if name.startswith("dynamo/bench/")]
    assert "dynamo/sdk/compatible/__init__.py" in plain
    assert with_layer - plain >= {"dynamo/sdk/compatible/bentoml/__init__.py", "dynamo/sdk/compatible/bentoml/calls.py"}
    assert all(name.startswith("dynamo/sdk/compatible/bentoml/") for name in with_layer - plain)


def test_the_metadata_asks_for_what_the_runtime_needs() -> None:
    """Requires-Dist are the lines that every lock has."""
    archive = zipfile.ZipFile(io.BytesIO(runtime_wheel.build_runtime_wheel().content))
    metadata = archive.read(next(name for name in archive.namelist() if name.endswith("METADATA"))).decode()
    asked = [line.removeprefix("Requires-Dist: ") for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    assert tuple(asked) == runtime_wheel.list_runtime_requirements()
    assert any(line.startswith("pydantic") for line in asked)


def test_a_foreign_package_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another distribution's `dynamo` folder is named in one line."""
    foreign = types.ModuleType("dynamo")
    foreign.__path__ = [str(tmp_path)]
    monkeypatch.setattr(runtime_wheel, "dynamo", foreign)
    with pytest.raises(UsageError, match="is not ours"):
        runtime_wheel.build_runtime_wheel()
