"""Ctrl-C at any moment of any command: it ends with 130 and one line, and leaves nothing half made."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dynamo_build.bento.store import Store
from dynamo_build.bento.verify import verify
from dynamo_build.cli.app import run
from scenarios.interrupting import interrupted
from support import registry
from support.effort import CAMPAIGN, points
from support.hello import base_made

ROOT = Path(__file__).resolve().parent.parent.parent


class Place:
    """A project, a store with a bento of it, a base, an image and a registry; `restore` makes it as it was."""

    def __init__(self, folder: Path, host: str) -> None:
        self.folder, self.host = folder / "place", host
        self.home, self.project = self.folder / "home", self.folder / "project"
        shutil.copytree(ROOT / "examples/hello_world", self.project)
        self.base = base_made(self.folder / "base")
        self.enter()
        assert run(["build", "hello_world:Frontend", "--quiet"]) == 0
        assert run(["export", "frontend", "../kept.bento"]) == 0
        assert run(["push", "frontend", "oci:../pushed:1", "--quiet"]) == 0
        assert run(["containerize", "--base", self.base, "--registry", "oci:../image", "--quiet"]) == 0
        self.image = f"oci:../image/frontend:{next(iter(Store(self.home).list())).tag.partition(':')[2]}"
        self.saved = folder / "saved"
        shutil.copytree(self.folder, self.saved, symlinks=True)

    def enter(self) -> None:
        os.environ["DYNAMO_HOME"] = str(self.home)
        os.chdir(self.project)

    def restore(self, more: str = "") -> None:
        """With another bento, `newer`, or without any."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.saved, self.folder, symlinks=True, copy_function=same_or_copy)
        self.enter()
        if more:
            (self.project / "data.txt").write_text("new")
        if more == "newer":
            assert run(["build", "hello_world:Frontend", "--quiet"]) == 0
        if more == "none":
            assert run(["delete", "frontend:latest", "--yes"]) == 0

    def files(self) -> frozenset[str]:
        """All but the store, whose items are verified, and whole blobs of a layout: only its index, which is written
        last, makes an image of them.
        """
        skipped = {"home", "__pycache__", "oci-layout"}
        found = set()
        for path in self.folder.rglob("*"):
            name = path.relative_to(self.folder)
            if path.is_file() and not skipped & set(name.parts):
                whole = "blobs" in name.parts and hashlib.sha256(path.read_bytes()).hexdigest() == path.name
                found.add("whole blobs" if whole else str(name))
        return frozenset(found)


def same_or_copy(source: str, target: str) -> None:
    """Blobs are never changed, so one on the disk is enough."""
    (os.link if "/blobs/" in source else shutil.copy2)(source, target)


COMMANDS: dict[str, Callable[[Place], list[str]]] = {
    "build": lambda place: ["build", "hello_world:Frontend"],
    "export": lambda place: ["export", "frontend", "made.bento"],
    "import": lambda place: ["import", "../kept.bento"],
    "delete": lambda place: ["delete", "frontend:latest", "--yes"],
    "gc": lambda place: ["gc", "--keep", "1"],
    "containerize": lambda place: ["containerize", "--base", place.base, "--registry", "oci:../made"],
    "containerize --push": lambda place: ["containerize", "--base", place.base, "--push", "--registry", place.host],
    "push": lambda place: ["push", "frontend", f"{place.host}/bentos/frontend"],
    "pull": lambda place: ["pull", "oci:../pushed:1"],
    "image copy": lambda place: ["image", "copy", place.image, "oci:copied:1"],
    "image size": lambda place: ["image", "size", place.image, "--all", "--output-file", "sizes.html"],
    "image diff": lambda place: ["image", "diff", place.image, place.base],
    "image sbom": lambda place: ["image", "sbom", place.image, "--attach"],
    "image rebase": lambda place: [
        "image",
        "rebase",
        place.image,
        "--base",
        place.base,
        "-t",
        "oci:rebased:1",
        "--force",
    ],
    "deploy": lambda place: [
        "deploy",
        "--base",
        place.base,
        "--registry",
        place.host,
        "--output-dir",
        "manifests",
    ],
    "graph": lambda place: ["graph", "--output-file", "graph.svg"],
    "init": lambda place: ["init", "started"],
    "ci init": lambda place: ["ci", "init", "github", "hello_world:Frontend", "--registry", "registry.example/team"],
    "list": lambda place: ["list"],
    "verify": lambda place: ["verify", "frontend"],
}
BEFORE = {"build": "changed", "gc": "newer", "import": "none", "pull": "none"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("interrupted")
    before, where = dict(os.environ), Path.cwd()
    os.environ["DOCKER_CONFIG"] = str(folder)
    with registry.running() as (host, _):
        yield Place(folder, host)
    os.chdir(where)
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.timeout(0 if CAMPAIGN else 180)
@pytest.mark.parametrize("name", COMMANDS)
def test_interrupted_anywhere(place: Place, tmp_path: Path, name: str) -> None:
    """Exit code 130, `interrupted` as the last line, no traceback; the files are those before, or those after."""
    place.restore(BEFORE.get(name, ""))
    command, before = COMMANDS[name](place), place.files()
    whole = interrupted(command, tmp_path)
    assert whole.code == 0, whole.err
    after, wanted = place.files(), points(2, 100)
    for number in sorted({1 + whole.events * turn // wanted for turn in range(wanted)} | {whole.events}):
        place.restore(BEFORE.get(name, ""))
        ended = interrupted(command, tmp_path, number)
        assert "Traceback" not in ended.err, (number, ended)
        if ended.code == 0 and ended.events < number:  # it had less to do than the first time
            continue
        assert (ended.code, ended.err.splitlines()[-1:]) == (130, ["interrupted"]), (number, ended)
        assert place.files() in (before, after), (number, place.files() - before)
        for item in Store(place.home).list():
            bento = Store(place.home).get(item.tag)
            assert verify(Path(bento.folder), bento.manifest) == (), number
        assert run(["gc"]) == 0
        assert [path.name for path in (place.home / "tmp").glob("*") if path.name != ".lock"] == [], number


def test_terminal_interrupts_the_whole_group(place: Place) -> None:
    """A terminal's Ctrl-C reaches the children too: the locker, the child that reads the graph; none is left."""
    command = [sys.executable, "-m", "dynamo_build", "build", "hello_world:Frontend"]
    met = set()
    for turn in range(points(6, 60)):
        place.restore("changed")
        (place.project / "dynamo.lock").unlink()
        mark = f"INTERRUPTED={place.folder}/{turn}"
        process = subprocess.Popen(
            command,
            env={**os.environ, "INTERRUPTED": mark.partition("=")[2]},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        wanted = ("describe", "/uv")[turn % 2]
        while process.poll() is None and not any(wanted in each for each in running(mark)):
            time.sleep(0.005)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert "Traceback" not in said
        if process.returncode != 0:  # else it was faster than we
            met.add(wanted)
            assert (process.returncode, said.splitlines()[-1]) == (130, "interrupted")
            assert not (place.project / "dynamo.lock").exists() or wanted == "describe"
        assert running(mark) == []
    assert met


def running(mark: str) -> list[str]:
    """The command lines of processes whose environment holds the mark."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return [line for line in found if line]
