"""The store: written once, published whole, one broken item breaks no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dynamo_build.bento.pack import pack
from dynamo_build.bento.store import Store
from dynamo_build.errors import StoreError, UsageError
from dynamo_build.model.bento import Bento
from dynamo_build.system import atomic
from support.projects import LOCK, planned, write_project


def built(store: Store, project: Path, text: str = "x", **options: str) -> Bento:
    write_project(project, {"data.txt": text})
    return pack(planned(project, **options), LOCK, store)


def test_put_get_list_latest_delete(tmp_path: Path) -> None:
    """The life of two versions."""
    store = Store(tmp_path / "home")
    one, two = built(store, tmp_path / "p", "1"), built(store, tmp_path / "p", "2")
    assert one.tag != two.tag
    assert store.get("frontend").tag == two.tag
    assert store.get("frontend:latest").manifest == two.manifest
    assert store.get(one.tag) == one
    assert [item.tag for item in store.list_bentos()] == [two.tag, one.tag]
    assert store.list_bentos()[0].services == ("Frontend",)
    assert store.last_built_from(tmp_path / "p") == two.tag
    store.delete(two.tag)
    assert store.find_latest("frontend") == one.manifest.version
    assert store.last_built_from(tmp_path / "p") == ""
    store.delete(one.tag)
    assert store.list_bentos() == ()
    with pytest.raises(StoreError, match=r"no bento `frontend`"):
        store.get("frontend")


def test_an_empty_store_is_read_without_being_made(tmp_path: Path) -> None:
    """`list` and `get` create nothing."""
    store = Store(tmp_path / "home")
    assert store.list_bentos() == ()
    assert store.last_built_from(tmp_path) == ""
    assert not (tmp_path / "home").exists()


def test_the_same_content_is_kept_once(tmp_path: Path) -> None:
    """A second build of the same files neither copies nor changes what is there, wherever the project lies."""
    store = Store(tmp_path / "home")
    one = built(store, tmp_path / "p")
    before = os.stat(one.folder).st_ino
    assert built(store, tmp_path / "q") == one
    assert os.stat(one.folder).st_ino == before
    assert store.last_built_from(tmp_path / "q") == store.last_built_from(tmp_path / "p") == one.tag
    assert os.listdir(tmp_path / "home/tmp") == [".lock"]


def test_building_an_older_version_again_makes_it_the_latest(tmp_path: Path) -> None:
    """`latest` is what was built last."""
    store = Store(tmp_path / "home")
    one = built(store, tmp_path / "p", "1")
    built(store, tmp_path / "p", "2")
    built(store, tmp_path / "p", "1")
    assert store.find_latest("frontend") == one.manifest.version


def test_a_broken_item_breaks_no_other(tmp_path: Path) -> None:
    """Damage is told of in its own line, and deleting it works."""
    store = Store(tmp_path / "home")
    one, two = built(store, tmp_path / "p", "1"), built(store, tmp_path / "p", "2")
    for damage in ("not json", "[]", '{"size": "x"}', None):
        path = Path(one.folder, "build.json")
        path.unlink() if damage is None else path.write_text(damage)
        broken = {item.tag: bool(item.broken) for item in store.list_bentos()}
        assert broken == {one.tag: True, two.tag: False}
    Path(one.folder, "bento.yaml").unlink()
    with pytest.raises(StoreError):
        store.get(one.tag)
    assert store.get("frontend").tag == two.tag
    assert built(store, tmp_path / "p", "1").tag == one.tag  # written anew
    assert [item.broken for item in store.list_bentos()] == ["", ""]
    store.delete(one.tag)


def test_a_version_of_ones_own_is_not_overwritten(tmp_path: Path) -> None:
    """Another content under the same given version is refused; the same content is fine."""
    store = Store(tmp_path / "home")
    built(store, tmp_path / "p", "1", version="1.0")
    built(store, tmp_path / "p", "1", version="1.0")
    with pytest.raises(StoreError, match=r"another bento `frontend:1\.0`"):
        built(store, tmp_path / "p", "2", version="1.0")
    assert Path(store.get("frontend:1.0").folder, "src/data.txt").read_text() == "1"
    with pytest.raises(UsageError):
        built(store, tmp_path / "p", "2", version="latest")


def test_what_a_killed_build_left_is_swept(tmp_path: Path) -> None:
    """A staging folder lives as long as its process; the next build removes the dead ones and no living one."""
    store = Store(tmp_path / "home")
    code = f"""
import os, signal
from pathlib import Path
from dynamo_build.bento.store import Store
with Store(Path({str(tmp_path / "home")!r})).open_staging() as folder:
    (folder / "half").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert len(os.listdir(tmp_path / "home/tmp")) == 2
    with store.open_staging() as living:
        with store.open_staging() as other:
            assert living.is_dir() and other.is_dir()
    assert os.listdir(tmp_path / "home/tmp") == [".lock"]


def test_builds_at_once(tmp_path: Path) -> None:
    """Twelve builds in threads, of the same and of different content: all are there, `latest` is one of them."""
    store = Store(tmp_path / "home")
    for number in range(4):
        write_project(tmp_path / f"p{number}", {"data.txt": str(number)})
    tags: list[str] = []
    threads = [
        threading.Thread(target=lambda n=n: tags.append(pack(planned(tmp_path / f"p{n % 4}"), LOCK, store).tag))
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tags) == 12
    assert {item.tag for item in store.list_bentos()} == set(tags)
    assert len(set(tags)) == 4
    assert store.get("frontend").tag in tags


def test_a_build_that_ends_while_another_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that its owner removes while it is looked at is no error of the one that looks."""
    store = Store(tmp_path / "home")
    lock = atomic.try_lock_folder

    def removed(folder: Path) -> int:
        if folder.name == "ending":
            folder.rmdir()
        return lock(folder)

    with store.open_staging():
        (tmp_path / "home/tmp/ending").mkdir()
        monkeypatch.setattr(atomic, "try_lock_folder", removed)
        with store.open_staging() as folder:
            assert folder.is_dir()


def test_errors_of_the_disk_are_one_line(tmp_path: Path) -> None:
    """A store that cannot be made is a StoreError that names the path and what to do."""
    (tmp_path / "home").write_text("a file")
    with pytest.raises(StoreError) as caught:
        built(Store(tmp_path / "home"), tmp_path / "p")
    assert "\n" not in caught.value.message
    with pytest.raises(StoreError, match="no space left") as full, atomic.wrap_os_error("write"):
        raise OSError(28, "No space left on device")
    assert full.value.hints


def test_a_file_size_limit_leaves_the_store_whole(tmp_path: Path) -> None:
    """RLIMIT_FSIZE in the middle of packing: one line, exit 16, nothing half-made."""
    write_project(tmp_path / "p", {"big.bin": "x" * 300_000})
    code = f"""
import resource, signal, sys
from pathlib import Path
from dynamo_build.errors import StoreError
from dynamo_build.bento.pack import pack
from dynamo_build.bento.store import Store
from support.projects import LOCK, planned
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    pack(planned(Path({str(tmp_path / "p")!r})), LOCK, Store(Path({str(tmp_path / "home")!r})))
except StoreError as error:
    print(error.message)
    sys.exit(error.exit_code)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 16, done.stderr
    assert "file too large" in done.stdout
    assert Store(tmp_path / "home").list_bentos() == ()
    assert os.listdir(tmp_path / "home/tmp") == [".lock"]


def test_listing_many_is_cheap(tmp_path: Path) -> None:
    """`list` reads one small document a bento."""
    store = Store(tmp_path / "home")
    one = built(store, tmp_path / "p")
    side = Path(one.folder, "build.json").read_text()
    for number in range(300):
        folder = store.bentos / "frontend" / f"v{number}"
        folder.mkdir()
        (folder / "build.json").write_text(json.dumps({**json.loads(side), "created": f"{number:04}"}))
        (folder / "bento.yaml").write_text("")
    assert len(store.list_bentos()) == 301
