"""The bento: complete, and the same bytes wherever and however it is made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynamo.sdk import codec
from dynamo_build.bento import bento_yaml
from dynamo_build.bento.pack import pack
from dynamo_build.bento.plan_bento import plan_bento
from dynamo_build.bento.stat_cache import Stamps
from dynamo_build.bento.store import Store, compute_version
from dynamo_build.errors import GraphError
from dynamo_build.model.bento import Bento
from dynamo_build.model.plan import BuildOptions, BuildPlan, Lock
from support.effort import examples
from support.projects import GRAPH, LOCK, planned, write_project


def built(project: Path, home: Path, **options: object) -> Bento:
    return pack(planned(project, **options), LOCK, Store(home), dockerfile=lambda bento: f"# {bento.tag}\n")


def contents(bento: Bento) -> dict[str, tuple[bytes, int]]:
    """Everything in a bento but its side file: bytes and mode."""
    folder = Path(bento.folder)
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "build.json")
    return {path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mode & 0o777) for path in files}


def test_a_bento_is_complete(tmp_path: Path) -> None:
    """Every part of the layout is there, and the listing checks."""
    bento = built(write_project(tmp_path / "p", {"data/x": "1"}), tmp_path / "home")
    assert set(contents(bento)) == {
        *("bento.yaml", "files.sha256", "src/graph.py", "src/data/x", "apis/schema.json", "apis/openapi.json"),
        *(
            "config/graph.json",
            "config/config.json",
            "env/docker/Dockerfile",
            "env/sbom.cdx.json",
            "env/python/requirements-linux-amd64.txt",
        ),
        f"runtime/{bento.manifest.runtime}",
    }
    check = subprocess.run(["sha256sum", "--check", "--strict", "files.sha256"], cwd=bento.folder, capture_output=True)
    assert check.returncode == 0
    assert bento_yaml.read_manifest(Path(bento.folder)) == bento.manifest
    assert bento.manifest.version == compute_version(bento.manifest)
    assert bento.manifest.version[0].isalpha() and len(bento.manifest.version) == 16


def test_a_plan_from_a_file_gives_the_same_bento(tmp_path: Path) -> None:
    """Packing can start from JSON: the plan and the lock are values, and all that it needs."""
    plan_of = planned(write_project(tmp_path / "p", {"data/x": "1"}))
    (tmp_path / "plan.json").write_bytes(codec.encode_ordered(plan_of))
    (tmp_path / "lock.json").write_bytes(codec.encode_ordered(LOCK))
    read = codec.decode_json(BuildPlan, (tmp_path / "plan.json").read_bytes())
    lock = codec.decode_json(Lock, (tmp_path / "lock.json").read_bytes())
    assert (read, lock) == (plan_of, LOCK)
    one, two = pack(plan_of, LOCK, Store(tmp_path / "one")), pack(read, lock, Store(tmp_path / "two"))
    assert contents(one) == contents(two)


FILES = st.dictionaries(
    st.from_regex(r"[a-z]{1,6}(/[a-z]{1,6}){0,2}\.dat", fullmatch=True), st.text(max_size=50), max_size=6
)


@settings(
    max_examples=examples(12),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(files=FILES)
def test_same_input_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]
) -> None:
    """Another folder, store, umask, order of creation, stamps, DYNAMO_IMAGE: the same version and the same bytes."""
    place = tmp_path_factory.mktemp("d")
    one = built(write_project(place / "one", files), place / "home1")
    before = os.umask(0o077)
    monkeypatch.setenv("DYNAMO_IMAGE", "registry.example/base:1")
    try:
        write_project(place / "deep/two", dict(reversed(files.items())))
        for path in (place / "deep/two").rglob("*.dat"):
            os.utime(path, (0, 0))
        two = built(place / "deep/two", place / "home2")
    finally:
        os.umask(before)
        monkeypatch.delenv("DYNAMO_IMAGE")
    assert one.tag == two.tag
    assert contents(one) == contents(two)


def test_everything_that_matters_changes_the_version(tmp_path: Path) -> None:
    """A byte, a name, the executable bit, the configuration, packages, a label."""
    project = write_project(tmp_path / "p", {"x": "1"})
    tags = [built(project, tmp_path / "home").tag]
    (project / "x").write_text("2")
    tags.append(built(project, tmp_path / "home").tag)
    (project / "x").rename(project / "y")
    tags.append(built(project, tmp_path / "home").tag)
    (project / "y").chmod(0o755)
    tags.append(built(project, tmp_path / "home").tag)
    store = Store(tmp_path / "home")
    tags.append(pack(plan_bento(GRAPH, [], project, BuildOptions(), {"Frontend": {"a": 1}}), LOCK, store).tag)
    tags.append(built(project, tmp_path / "home", labels={"a": "b"}).tag)
    assert len(set(tags)) == len(tags)
    assert len(store.list_bentos()) == len(tags)


def test_an_unchanged_project_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for secrets nor for digests; another rule reads for secrets alone, `forget` reads all."""
    project, store = write_project(tmp_path / "p", {"a/b": "1", "c": "2"}), Store(tmp_path / "home")
    monkeypatch.setattr("dynamo_build.bento.stat_cache._GRAIN", -(10**18))  # as if built long after
    opened: list[str] = []

    def build(*, forget: bool = False, **options: Any) -> str:
        stamps = Stamps.load_stamps(store.root / "cache", str(project), forget=forget)
        opened.clear()
        found = plan_bento(GRAPH, ["graph.py"], project, BuildOptions(**options), stamps=stamps)
        return pack(found, LOCK, store, stamps=stamps).tag

    def opening(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and str(arguments[0]).startswith(f"{project}/") and not str(arguments[0]).endswith(".toml"):
            opened.append(os.path.relpath(str(arguments[0]), project))

    sys.addaudithook(opening)
    first = build()
    assert opened.count("a/b") == 2
    assert build() == first and "a/b" not in opened
    assert build(allow_secrets=("x",)) == first and opened.count("a/b") == 1
    assert build(allow_secrets=("x",)) == first and "a/b" not in opened
    assert build(forget=True) == first and opened.count("a/b") == 2
    (project / "c").write_text("3")
    assert build() != first


def test_a_file_changed_back_gives_the_version_back(tmp_path: Path) -> None:
    """Stamps never hide a change."""
    project = write_project(tmp_path / "p", {"x": "1"})
    for path in project.iterdir():
        os.utime(path, (1, 1))
    one = built(project, tmp_path / "home")
    for text in ("2", "1"):
        (project / "x").write_text(text)
        os.utime(project / "x", (1, 1))
        assert (built(project, tmp_path / "home").tag == one.tag) == (text == "1")


def test_links_are_packed_as_content(tmp_path: Path) -> None:
    """The bento holds no link."""
    project = write_project(tmp_path / "p", {"real/a": "x"})
    (project / "linked").symlink_to("real")
    bento = built(project, tmp_path / "home")
    assert (Path(bento.folder) / "src/linked/a").read_text() == "x"
    assert not any(path.is_symlink() for path in Path(bento.folder).rglob("*"))


def test_a_file_that_went_away_is_one_line(tmp_path: Path) -> None:
    """It is named, and the store stays as it was."""
    project = write_project(tmp_path / "p", {"x": "1"})
    found = planned(project)
    shutil.rmtree(project)
    with pytest.raises(GraphError, match="cannot be read any more"):
        pack(found, LOCK, Store(tmp_path / "home"))
    assert Store(tmp_path / "home").list_bentos() == ()
