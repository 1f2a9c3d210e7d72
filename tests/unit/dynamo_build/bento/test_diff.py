"""What differs between two bentos."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dynamo_build.bento.diff import Change, diff_bentos
from dynamo_build.bento.pack import pack
from dynamo_build.bento.plan_bento import plan_bento
from dynamo_build.bento.store import Store
from dynamo_build.errors import StoreError
from dynamo_build.model.plan import BuildOptions, LockedPackage
from support.projects import GRAPH, LOCK, PACKAGE, write_project


def test_the_same_bento_differs_in_nothing(tmp_path: Path) -> None:
    """All parts are empty."""
    store = Store(tmp_path / "home")
    bento = pack(plan_bento(GRAPH, [], write_project(tmp_path / "p"), BuildOptions()), LOCK, store)
    found = diff_bentos(bento, bento)
    assert not (
        found.files or found.packages or found.config or found.api or found.services or found.layers or found.other
    )


def test_each_part_is_told(tmp_path: Path) -> None:
    """Files added, removed, changed and made executable; packages; configuration; API; services; the rest."""
    store = Store(tmp_path / "home")
    project = write_project(tmp_path / "p", {"gone": "1", "changed": "1", "run": "1", "same": "1"})
    one = pack(plan_bento(GRAPH, [], project, BuildOptions(), {"Frontend": {"a": {"b": 1}, "c": 2}}), LOCK, store)
    (project / "gone").unlink()
    (project / "run").chmod(0o755)
    write_project(project, {"changed": "2", "new": "1"})
    lock = replace(
        LOCK, packages={"linux/amd64": (replace(PACKAGE, version="2.10.0"), LockedPackage(name="x", version="1"))}
    )
    service = replace(
        GRAPH.services[0], workers=3, endpoints=(replace(GRAPH.services[0].endpoints[0], streaming=True),)
    )
    graph = replace(GRAPH, services=(service,))
    options = BuildOptions(labels={"team": "a"})
    two = pack(plan_bento(graph, [], project, options, {"Frontend": {"a": {"b": 3}, "d": None}}), lock, store)
    found = diff_bentos(one, two)
    assert {change.what: (change.before is None, change.after is None) for change in found.files} == {
        "changed": (False, False),
        "gone": (False, True),
        "new": (True, False),
        "run": (False, False),
    }
    assert [change.what for change in found.packages] == ["pydantic (linux/amd64)", "x (linux/amd64)"]
    assert found.config == (
        Change(what="Frontend.a.b", before=1, after=3),
        Change(what="Frontend.c", before=2),
        Change(what="Frontend.d"),
    )
    assert found.api == (Change(what="services.Frontend.endpoints.generate.streaming", before=False, after=True),)
    assert found.services == (Change(what="services.Frontend.workers", before=1, after=3),)
    assert found.other == (Change(what="labels.team", after="a"),)
    assert [change.what for change in found.layers] == ["code", "config", "packages (linux/amd64)"]


def test_a_change_of_code_leaves_the_other_layers(tmp_path: Path) -> None:
    """What an image of the new bento shares with one of the old is told by what is not listed."""
    store = Store(tmp_path / "home")
    project = write_project(tmp_path / "p", {"changed": "1"})
    one = pack(plan_bento(GRAPH, [], project, BuildOptions()), LOCK, store)
    write_project(project, {"changed": "2"})
    two = pack(plan_bento(GRAPH, [], project, BuildOptions()), LOCK, store)
    assert [change.what for change in diff_bentos(one, two).layers] == ["code"]
    setup = pack(plan_bento(GRAPH, [], project, BuildOptions(system_packages=("git",))), LOCK, store)
    assert [change.what for change in diff_bentos(two, setup).layers] == ["setup"]


def test_a_damaged_listing_is_one_line(tmp_path: Path) -> None:
    """It is not compared as if it were whole."""
    store = Store(tmp_path / "home")
    bento = pack(plan_bento(GRAPH, [], write_project(tmp_path / "p"), BuildOptions()), LOCK, store)
    (Path(bento.folder) / "files.sha256").write_text("")
    with pytest.raises(StoreError, match="was changed"):
        diff_bentos(bento, bento)
