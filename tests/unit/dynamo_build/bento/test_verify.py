"""Damage is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_build.bento.pack import pack
from dynamo_build.bento.store import Store
from dynamo_build.bento.verify import check, verify
from dynamo_build.errors import StoreError
from dynamo_build.system.digest import digest_file
from support.projects import LOCK, planned, write_project


def test_one_flipped_bit_in_any_file_is_named(tmp_path: Path) -> None:
    """Each file of a bento but its side file: changed, missing, and a new one beside it."""
    store = Store(tmp_path / "home")
    bento = pack(planned(write_project(tmp_path / "p", {"a/b": "x"})), LOCK, store, dockerfile=lambda _: "FROM x\n")
    folder = Path(bento.folder)
    assert verify(folder, bento.manifest) == ()
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "build.json"]
    assert len(files) == 12
    for path in files:
        name, content = path.relative_to(folder).as_posix(), path.read_bytes()
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:] if content else b"x")
        assert name in " ".join(verify(folder, bento.manifest)), name
        path.unlink()
        assert name in " ".join(verify(folder, bento.manifest)), name
        path.write_bytes(content)
        path.chmod(0o644)
    assert verify(folder, bento.manifest) == ()
    (folder / "src/new").write_text("x")
    assert verify(folder, bento.manifest) == ("`src/new` does not belong to it",)


@pytest.mark.parametrize("mode", [0o755])
def test_an_executable_bit_is_part_of_it(tmp_path: Path, mode: int) -> None:
    """Setting it on a file is a change."""
    bento = pack(planned(write_project(tmp_path / "p")), LOCK, Store(tmp_path / "home"))
    (Path(bento.folder) / "src/graph.py").chmod(mode)
    assert verify(Path(bento.folder), bento.manifest) == ("`src/graph.py` has another executable bit",)


def test_what_an_image_is_made_from_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file that differs or is missing is named; what has the stamp of the last check is not read again."""
    monkeypatch.setattr("dynamo_build.bento.stat_cache._GRAIN", -(10**18))  # as if checked long after it was built
    files = {"a/b": "x", "c": "y"}
    bento = pack(
        planned(write_project(tmp_path / "p", files)), LOCK, Store(tmp_path / "home"), dockerfile=lambda _: "FROM x\n"
    )
    folder, cache = Path(bento.folder), tmp_path / "cache"
    check(bento, cache)
    read: list[str] = []
    real = digest_file
    monkeypatch.setattr("dynamo_build.bento.verify.digest_file", lambda path: read.append(str(path)) or real(path))
    (folder / "src/stray").write_text("x")
    check(bento, cache)
    assert read == []
    for path in [path for path in folder.rglob("*") if path.is_file() and path.name not in ("build.json", "stray")]:
        content = path.read_bytes()
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:] if content else b"x")
        with pytest.raises(StoreError, match=path.name):
            check(bento, cache)
        path.unlink()
        with pytest.raises(StoreError, match=path.name):
            check(bento, cache)
        path.symlink_to("/etc/passwd")
        with pytest.raises(StoreError, match=path.name):
            check(bento, cache)
        path.unlink()
        path.write_bytes(content)
    check(bento, cache)
