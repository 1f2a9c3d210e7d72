"""A command that is killed anywhere leaves a store that works, and nothing behind after the next build."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dynamo_build.bento.export import export
from dynamo_build.bento.store import Store
from dynamo_build.bento.verify import verify
from dynamo_build.cli.app import run
from dynamo_build.graph import discover
from dynamo_build.graph.child import explore
from scenarios import tracing
from scenarios.killing import calls, killed_at
from support.effort import CAMPAIGN, points

ROOT = Path(__file__).resolve().parent.parent.parent


class Place:
    """A store with an older bento, a project whose bento is not in it, and an archive."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.project, self.archive = folder / "home", folder / "project", folder / "other.bento"
        shutil.copytree(ROOT / "examples/hello_world", self.project)
        monkeypatch.chdir(self.project)
        monkeypatch.setenv("DYNAMO_HOME", str(folder / "elsewhere"))
        asked: dict[tuple[str, ...], Any] = {}

        def known(target: str, project: Path, **named: Any) -> Any:
            key = tuple(named.get("stand_ins", ()))
            asked[key] = asked.get(key) or explore(target, project, **named)
            return asked[key]

        monkeypatch.setattr(discover, "explore", known)
        self.write("archived")
        assert run(["build", "hello_world:Frontend", "--quiet"]) == 0
        export(Store(folder / "elsewhere").get("frontend"), self.archive)
        monkeypatch.setenv("DYNAMO_HOME", str(self.home))
        for text in ("oldest", "old"):
            self.write(text)
            assert run(["build", "hello_world:Frontend", "--quiet"]) == 0
        self.write("new")
        self.saved = folder / "saved"
        shutil.copytree(self.home, self.saved, symlinks=True)

    def write(self, text: str) -> None:
        (self.project / "data.txt").write_text(text)
        for number in range(5):
            (self.project / f"data{number}.txt").write_text(text)

    def restore(self) -> None:
        shutil.rmtree(self.home)
        shutil.copytree(self.saved, self.home, symlinks=True)


VERBS: dict[str, Callable[[Place], list[str]]] = {
    "build": lambda place: ["build", "hello_world:Frontend", "--quiet"],
    "import": lambda place: ["import", str(place.archive)],
    "delete": lambda place: ["delete", "frontend:latest", "--yes"],
    "gc": lambda place: ["gc", "--keep", "1"],
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where there is such a place: a disk's flushing takes most of the time, and changes nothing here."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


@pytest.mark.timeout(0 if CAMPAIGN else 180)
@pytest.mark.parametrize("verb", VERBS)
def test_killed_anywhere(folder: Path, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """Every item is whole or gone, every command works, and the next build leaves no temporary file or folder."""
    place = Place(folder, monkeypatch)
    command = VERBS[verb](place)
    before = {item.tag for item in Store(place.home).list()}
    total = calls(lambda: run(command), str(place.home))
    after = {item.tag for item in Store(place.home).list()}
    assert before != after
    assert total > 10
    wanted = points(25, 200)
    for number in sorted({1 + total * turn // wanted for turn in range(wanted)} | {total}):
        place.restore()
        assert killed_at(number, lambda: run(command), str(place.home)), number
        checked(Store(place.home), before | after, before & after, number)
        assert run(["build", "hello_world:Frontend", "--quiet"]) == 0, number
        checked(Store(place.home), before | after | {latest(place)}, before & after, number)
        assert left_behind(place.home) == [], number


@pytest.mark.skipif(not tracing.usable(), reason="needs strace, and the right to trace")
@pytest.mark.timeout(0 if CAMPAIGN else 180)
@pytest.mark.parametrize("verb", VERBS)
def test_killed_at_any_call_of_a_traced_run(folder: Path, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """The same for the command in a process of its own, at calls that a trace of a whole run saw."""
    place = Place(folder, monkeypatch)
    command = [sys.executable, "-m", "dynamo_build", *VERBS[verb](place)]
    before = {item.tag for item in Store(place.home).list()}
    seen = tracing.calls(command, str(place.home), place.project, os.environ)
    after = {item.tag for item in Store(place.home).list()}
    assert before != after and len(seen) > 100
    wanted, killed = points(4, 200), 0
    for call in [seen[len(seen) * turn // wanted] for turn in range(wanted)]:
        place.restore()
        killed += tracing.killed_at(call, command, place.project, os.environ)
        checked(Store(place.home), before | after, before & after, call)
        assert run(["build", "hello_world:Frontend", "--quiet"]) == 0, call
        checked(Store(place.home), before | after | {latest(place)}, before & after, call)
        assert left_behind(place.home) == [], call
    assert killed > 0.9 * wanted


def latest(place: Place) -> str:
    """The tag of the build that came after, which is the newest."""
    store = Store(place.home)
    tag = f"frontend:{store.latest('frontend')}"
    assert (Path(store.get(tag).folder) / "src/data.txt").read_text() == "new"
    assert store.last_built_from(place.project) == tag
    return tag


def checked(store: Store, most: set[str], least: set[str], number: object) -> None:
    """Whatever is listed is whole, and only what may be there is."""
    items = store.list()
    assert least <= {item.tag for item in items} <= most, number
    assert not any(item.broken for item in items), number
    for item in items:
        bento = store.get(item.tag)
        assert verify(Path(bento.folder), bento.manifest) == (), number
    if items:
        assert store.get("frontend").tag in {item.tag for item in items}


def left_behind(home: Path) -> list[str]:
    """What no command made for good."""
    stray = [path for path in home.rglob("*") if path.name.startswith(".") or path.parent == home / "tmp"]
    own = {home / "tmp/.lock", home / "locks/.projects"}
    return sorted(str(path.relative_to(home)) for path in stray if path not in own and "src" not in path.parts)
