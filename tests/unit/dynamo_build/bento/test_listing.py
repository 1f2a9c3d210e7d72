"""The lines of a store."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dynamo_build.bento import listing

LINE = {"size": 3, "created": "2026-01-01T00:00:00Z", "entry": "A", "services": ["A"], "project": "/p"}


def put(root: Path, version: str, line: object) -> Path:
    folder = root / "bentos" / "a" / version
    folder.mkdir(parents=True, exist_ok=True)
    (folder / listing.SIDE).write_text(json.dumps(line))
    (folder / listing.MANIFEST).write_text("")
    return folder


def test_lines(tmp_path: Path) -> None:
    """The newest first; what is new, changed, damaged or gone is seen, and nothing is written."""
    for number in range(9):
        put(tmp_path, f"v{number}", {**LINE, "created": f"2026-01-01T00:00:{number:02}Z"})
    first = listing.summaries(tmp_path)
    assert [item.tag for item in first] == [f"a:v{number}" for number in reversed(range(9))]
    put(tmp_path, "new", {**LINE, "created": "2026-02-01T00:00:00Z", "size": 9})
    put(tmp_path, "v3", {**LINE, "size": 7})
    shutil.rmtree(tmp_path / "bentos/a/v4")
    (tmp_path / "bentos/a/v5/bento.yaml").unlink()
    (tmp_path / "bentos/a/v6/build.json").write_text("{")
    (tmp_path / "bentos/a/v7/build.json").unlink()
    put(tmp_path, "v8", [])
    again = {item.tag: item for item in listing.summaries(tmp_path)}
    assert again["a:new"].size == 9 and again["a:v3"].size == 7 and "a:v4" not in again
    assert again["a:v5"].broken == "build.json: it has no bento.yaml"
    assert all(again[f"a:v{number}"].broken.startswith("build.json: ") for number in (6, 7, 8))
    assert [path.name for path in tmp_path.iterdir()] == ["bentos"]


def test_what_is_deleted_meanwhile_is_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bento that goes while the store is read is no damaged one."""
    put(tmp_path, "stays", LINE)
    going, real = put(tmp_path, "goes", LINE), listing.folders

    def removed(folder: str | Path) -> list[str]:
        found = real(folder)
        if "goes" in found:
            shutil.rmtree(going)
        return found

    monkeypatch.setattr(listing, "folders", removed)
    assert [(item.tag, item.broken) for item in listing.summaries(tmp_path)] == [("a:stays", "")]


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    """It is empty, and stays so."""
    assert listing.summaries(tmp_path / "none") == () and not (tmp_path / "none").exists()
