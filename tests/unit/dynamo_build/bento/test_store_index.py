"""The lines of a store, and the index that saves reading them again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_build.bento import store_index

LINE = {"size": 3, "created": "2026-01-01T00:00:00Z", "entry": "A", "services": ["A"], "project": "/p"}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of 60 bentos that were built long ago."""
    monkeypatch.setattr(store_index, "_GRAIN", -(10**18))
    for number in range(60):
        put(tmp_path, f"v{number}", {**LINE, "created": f"2026-01-01T00:00:{number:02}Z"})
    return tmp_path


def put(root: Path, version: str, line: object) -> Path:
    folder = root / "bentos" / "a" / version
    folder.mkdir(parents=True, exist_ok=True)
    (folder / store_index.SIDE).write_text(json.dumps(line))
    (folder / store_index.MANIFEST).write_text("")
    return folder


def test_lines_are_read_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then they come from the index, the newest first; what is new, changed or gone is seen."""
    first = store_index.summaries(root)
    assert [item.tag for item in first] == [f"a:v{number}" for number in reversed(range(60))]
    real, read = store_index.summary_of, []
    monkeypatch.setattr(store_index, "summary_of", lambda *where: read.append(where[2]) or real(*where))
    assert store_index.summaries(root) == first and read == []
    put(root, "new", {**LINE, "created": "2026-02-01T00:00:00Z", "size": 9})
    put(root, "v3", {**LINE, "size": 7})
    shutil.rmtree(root / "bentos/a/v4")
    (root / "bentos/a/v5/bento.yaml").unlink()
    (root / "bentos/a/v6/build.json").write_text("{")
    again = {item.tag: item for item in store_index.summaries(root)}
    assert sorted(read) == ["new", "v3", "v5", "v6"]
    assert again["a:new"].size == 9 and again["a:v3"].size == 7 and "a:v4" not in again
    assert again["a:v5"].broken == "build.json: it has no bento.yaml"
    assert again["a:v6"].broken.startswith("build.json: ")


def test_what_is_deleted_meanwhile_is_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bento that goes while the store is read is no damaged one."""
    put(tmp_path, "stays", LINE)
    going, real = put(tmp_path, "goes", LINE), store_index.folders

    def removed(folder: str | Path) -> list[str]:
        found = real(folder)
        if "goes" in found:
            shutil.rmtree(going)
        return found

    monkeypatch.setattr(store_index, "folders", removed)
    assert [(item.tag, item.broken) for item in store_index.summaries(tmp_path)] == [("a:stays", "")]


def test_what_was_written_just_now_is_not_indexed(tmp_path: Path) -> None:
    """It could change again under the same stamp."""
    for number in range(60):
        put(tmp_path, f"v{number}", LINE)
    store_index.summaries(tmp_path)
    assert not (tmp_path / "cache").exists()


def test_a_store_that_cannot_be_written_is_listed(root: Path) -> None:
    """And one that is not there is empty, and stays so."""
    (root / "cache").write_text("no folder")
    assert len(store_index.summaries(root)) == 60
    assert store_index.summaries(root / "none") == () and not (root / "none").exists()


@given(
    noise=st.one_of(
        st.binary(max_size=99),
        st.recursive(
            st.sampled_from([None, 1, "a:v1", {"format": 1}, []]),
            lambda inner: (
                st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(["format", "bentos", "a:v1"]), inner)
            ),
        ),
    )
)
def test_a_damaged_index_is_no_index(tmp_path_factory: pytest.TempPathFactory, noise: object) -> None:
    """Whatever it holds, the lines are those of the bentos."""
    root = tmp_path_factory.getbasetemp() / "damaged"
    folder = put(root, "v1", LINE)
    (root / "cache/list").mkdir(exist_ok=True, parents=True)
    content = noise if isinstance(noise, bytes) else json.dumps(noise).encode()
    (root / "cache/list/index.json").write_bytes(content)
    (found,) = store_index.summaries(root)
    assert (found.tag, found.size, found.services) == ("a:v1", 3, ("A",))
    status = os.stat(folder / store_index.SIDE)
    for line in ([], {}, [1, "x"], [True, "", "", [], ""], [1, "", "", [2], ""]):
        stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev]
        stamp.append(os.stat(folder / store_index.MANIFEST).st_ino)
        (root / "cache/list/index.json").write_text(json.dumps({"format": 1, "bentos": {"a:v1": [stamp, line]}}))
        assert store_index.summaries(root) == (found,)
