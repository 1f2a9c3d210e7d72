"""Many builds at once, a full disk, a limit on files, a store that cannot be written, a flipped bit."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynamo_build.bento.export import export, import_bento
from dynamo_build.bento.pack import pack
from dynamo_build.bento.store import Store
from dynamo_build.bento.verify import verify
from dynamo_build.errors import StoreError
from support.command_line import dynamo
from support.effort import points
from support.projects import LOCK, planned, write_project

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = [sys.executable, "-m", "dynamo_build", "build", "hello_world:Frontend", "-o", "name"]


def project_of(folder: Path, text: str = "x") -> Path:
    """A locked project with a file of its own."""
    shutil.copytree(ROOT / "examples/hello_world", folder)
    (folder / "data.txt").write_text(text)
    return folder


def whole(store: Store) -> set[str]:
    """The tags of a store, all of which are as they were built."""
    found = set()
    for item in store.list_bentos():
        assert not item.broken
        bento = store.get(item.tag)
        assert verify(Path(bento.folder), bento.manifest) == ()
        found.add(item.tag)
    return found


def test_sixteen_builds_at_once(tmp_path: Path) -> None:
    """Of the same and of different code: each succeeds, none is lost, `latest` is the newest, nothing is left."""
    home = tmp_path / "home"
    projects = [project_of(tmp_path / f"p{number}", f"{number // 2}") for number in range(16)]
    environment = {**os.environ, "DYNAMO_HOME": str(home)}
    running = [
        subprocess.Popen(BUILD, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for project in projects
    ]
    done = [(child, *child.communicate()) for child in running]
    assert [child.returncode for child, _, _ in done] == [0] * 16, [said for _, _, said in done]
    built = [out.strip() for _, out, _ in done]
    assert built[::2] == built[1::2] and len(set(built)) == 8
    store = Store(home)
    assert whole(store) == set(built)
    assert f"frontend:{store.find_latest('frontend')}" in built
    assert [store.last_built_from(project) for project in projects] == built
    assert os.listdir(home / "tmp") == [".lock"]
    again = dynamo("build", "hello_world:Frontend", "-o", "name", folder=projects[0], DYNAMO_HOME=str(home))
    assert store.find_latest("frontend") == again.stdout.strip().partition(":")[2]


@pytest.fixture
def small(as_root: None) -> Iterator[Path]:
    """A file system of 6 MiB."""
    folder = Path(tempfile.mkdtemp(prefix="dynamo-full-"))
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)], capture_output=True).returncode:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="dynamo-full-", dir="/dev/shm"))
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


@pytest.mark.root
def test_a_full_disk(tmp_path: Path, small: Path) -> None:
    """Build, import and export end with one line and code 16; the store keeps what it has, and works again after."""
    project = project_of(tmp_path / "p")
    home = {"DYNAMO_HOME": str(small / "home")}
    first = dynamo("build", "hello_world:Frontend", "-o", "name", folder=project, **home)
    assert first.returncode == 0, first.stderr
    (project / "large.bin").write_bytes(random.Random(1).randbytes(8 << 20))
    elsewhere = {"DYNAMO_HOME": str(tmp_path / "elsewhere")}
    assert dynamo("build", "hello_world:Frontend", folder=project, **elsewhere).returncode == 0
    assert dynamo("export", "frontend", str(tmp_path / "x.bento"), folder=project, **elsewhere).returncode == 0
    for command in (
        ("build", "hello_world:Frontend"),
        ("import", str(tmp_path / "x.bento")),
    ):
        refused(dynamo(*command, folder=project, **home), "no space left")
        assert whole(Store(small / "home")) == {first.stdout.strip()}
        assert os.listdir(small / "home/tmp") == [".lock"]
    refused(dynamo("export", "frontend", str(small / "x.bento"), folder=project, **elsewhere), "no space left")
    assert [name for name in os.listdir(small) if "bento" in name] == []
    (project / "large.bin").unlink()
    (project / "data.txt").write_text("y")
    assert dynamo("build", "hello_world:Frontend", folder=project, **home).returncode == 0
    assert len(whole(Store(small / "home"))) == 2


def refused(done: subprocess.CompletedProcess[str], reason: str) -> None:
    """One line and a hint, and the code of a StoreError."""
    assert done.returncode == 16, done.stderr
    lines = done.stderr.strip().splitlines()
    assert "Traceback" not in done.stderr
    assert [line for line in lines if reason in line], done.stderr
    assert len([line for line in lines if line.startswith("error")]) == 1, done.stderr


def test_a_limit_on_file_sizes(tmp_path: Path) -> None:
    """RLIMIT_FSIZE, with which a write fails in its middle."""
    project, home = project_of(tmp_path / "p"), tmp_path / "home"
    (project / "large.bin").write_bytes(bytes(3 << 20))
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))  # noqa: E731
    done = subprocess.run(
        BUILD,
        cwd=project,
        env={**os.environ, "DYNAMO_HOME": str(home)},
        capture_output=True,
        text=True,
        preexec_fn=limit,
    )
    refused(done, "too large")
    assert Store(home).list_bentos() == () and os.listdir(home / "tmp") == [".lock"]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can look into."""
    with tempfile.TemporaryDirectory(prefix="dynamo-faults-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def test_a_store_that_cannot_be_written(open_folder: Path) -> None:
    """A read-only store: one line for what writes; what only reads goes on."""
    project, home = project_of(open_folder / "p"), open_folder / "home"
    first = dynamo("build", "hello_world:Frontend", "-o", "name", folder=project, DYNAMO_HOME=str(home)).stdout.strip()
    (project / "data.txt").write_text("y")
    before = []
    if os.geteuid() == 0:  # for root a mode is no hindrance, but a mount or another user is
        reads = "-all,+dac_read_search"
        before = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"--inh-caps={reads}"]
        before += [f"--ambient-caps={reads}", f"--bounding-set={reads}"]
    else:
        for folder, _, _ in os.walk(home):
            os.chmod(folder, 0o555)
    environment = {**os.environ, "DYNAMO_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        start = [*before, sys.executable, "-m", "dynamo_build", *command]
        return subprocess.run(start, cwd=project, env=environment, capture_output=True, text=True)

    refused(run("build", "hello_world:Frontend"), "permission denied")
    refused(run("delete", first, "--yes"), "permission denied")
    refused(run("gc"), "permission denied")
    for command in (("list",), ("get", first), ("verify",)):
        done = run(*command)
        assert done.returncode == 0 and first in done.stdout, done.stderr
    for folder, _, _ in os.walk(home):
        os.chmod(folder, 0o755)
    assert whole(Store(home)) == {first}


def test_one_flipped_bit_is_named(tmp_path: Path) -> None:
    """In any file of a bento: `verify` names the file, `export` refuses; of an archive: `import` refuses it."""
    store = Store(tmp_path / "home")
    bento = pack(
        planned(write_project(tmp_path / "p", {"a/b": "x" * 500, "c": ""})),
        LOCK,
        store,
        dockerfile=lambda bento: "FROM x\n",
    )
    folder = Path(bento.folder)
    chance = random.Random(7)
    names = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "build.json"]
    for path in names:
        content = path.read_bytes()
        for _ in range(points(2, 200) if content else 0):
            place = chance.randrange(len(content))
            flipped = bytes([content[place] ^ 1 << chance.randrange(8)])
            path.write_bytes(content[:place] + flipped + content[place + 1 :])
            name = path.relative_to(folder).as_posix()
            done = dynamo_verify(store, bento.tag)
            assert name.rpartition("/")[2] in done, (name, place, done)
            with pytest.raises(StoreError):
                export(store.get(bento.tag), tmp_path / "x.bento")
            assert not (tmp_path / "x.bento").exists()
        path.write_bytes(content)
    assert dynamo_verify(store, bento.tag) == ""
    archive = export(bento, tmp_path / "x.bento")
    content = archive.read_bytes()
    for _ in range(points(40, 2000)):
        place = chance.randrange(len(content))
        archive.write_bytes(content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :])
        other = Store(tmp_path / "other")
        try:
            assert import_bento(archive, other).manifest == bento.manifest  # padding and stamps are in no digest
        except StoreError as error:
            assert "\n" not in error.message
        assert len(whole(other)) <= 1


def dynamo_verify(store: Store, tag: str) -> str:
    """What `verify` says of a bento, "" when it is as it was built."""
    try:
        bento = store.get(tag)
        return "; ".join(verify(Path(bento.folder), bento.manifest))
    except StoreError as error:
        return error.message


def test_verify_on_the_command_line(tmp_path: Path) -> None:
    """Code 16, the file named, also as JSON."""
    project, home = project_of(tmp_path / "p"), tmp_path / "home"
    tag = dynamo("build", "hello_world:Frontend", "-o", "name", folder=project, DYNAMO_HOME=str(home)).stdout.strip()
    path = Path(Store(home).get(tag).folder) / "src/data.txt"
    path.write_bytes(b"y")
    done = dynamo("verify", "-o", "json", folder=project, DYNAMO_HOME=str(home))
    assert done.returncode == 16
    assert json.loads(done.stdout) == {tag: ["`src/data.txt` was changed"]}
    refused(dynamo("export", tag, folder=project, DYNAMO_HOME=str(home)), "src/data.txt")
