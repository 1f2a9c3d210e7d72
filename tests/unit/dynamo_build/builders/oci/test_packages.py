"""Locked wheels as files of a layer."""

from __future__ import annotations

import base64
import csv
import hashlib
import http.server
import io
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from dynamo_build.builders.oci import packages
from dynamo_build.builders.oci.bytecode import Bytecode
from dynamo_build.errors import ImageBuildError
from dynamo_build.events import Event, Noted, ignore
from dynamo_build.model.image import PackagesLayer
from dynamo_build.model.plan import WHEELS
from dynamo_build.oci.layer import Entry, compute_diff_id
from support import handmade


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name, files, scripts in (
        ("alpha", {"alpha/__init__.py": b"A = 1\n", "alpha/data.txt": b"data"}, "alpha = alpha:main"),
        ("beta", {"space/beta.py": b"B = 1\n"}, ""),
    ):
        filename, content = handmade.distribution(name, "1.0", files, scripts)
        (folder / filename).write_bytes(content)
    return folder


def locked(wheels: Path, *, python: str = "3.11", platform: str = "linux/amd64") -> PackagesLayer:
    lines = []
    for path in sorted(wheels.iterdir()):
        name, version, *_ = path.name.split("-")
        lines.append(f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n")
    return PackagesLayer(packages=(), requirements="".join(lines), python=python, platform=platform)


def offline(wheels: Path, cache: Path) -> dict[str, str]:
    return {
        **os.environ,
        "UV_OFFLINE": "1",
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": str(wheels),
        "UV_CACHE_DIR": str(cache),
    }


def installed(wheels: Path, where: Path, interpreter: str = "/usr/local/bin/python3.11") -> dict[str, Entry]:
    where.mkdir(exist_ok=True)
    packages.install_packages(locked(wheels), where / "packages", offline(wheels, where / "cache"), ignore)
    found = packages.list_entries(
        packages.walk_files(where / "packages"), where / "compiled", interpreter, Bytecode(), ignore
    )
    return {entry.path.removeprefix("app/packages/"): entry for entry in found}


def content(entry: Entry) -> bytes:
    return entry.content if isinstance(entry.content, bytes) else entry.content.read_bytes()


def test_two_installs_are_the_same_layer(wheels: Path, tmp_path: Path) -> None:
    """Neither the folder nor the cache shows in the files."""
    one, two = installed(wheels, tmp_path / "one"), installed(wheels, tmp_path / "two")
    assert compute_diff_id(one.values()) == compute_diff_id(two.values())
    here = str(tmp_path).encode()
    assert [path for path, entry in one.items() if here in content(entry)] == []


def test_wheels_that_no_index_has_come_from_the_bento(wheels: Path, tmp_path: Path) -> None:
    """With the same digests as any other."""
    wanted = replace(locked(wheels), wheels=tuple(path.name for path in wheels.iterdir()))
    (tmp_path / "bento/env/python").mkdir(parents=True)
    shutil.copytree(wheels, tmp_path / "bento" / WHEELS)
    nowhere = offline(tmp_path / "none", tmp_path / "cache")
    packages.install_packages(wanted, tmp_path / "packages", nowhere, ignore, str(tmp_path / "bento"))
    assert (tmp_path / "packages/alpha/data.txt").read_bytes() == b"data"
    with pytest.raises(ImageBuildError):
        packages.install_packages(
            replace(wanted, wheels=()), tmp_path / "other", nowhere, ignore, str(tmp_path / "bento")
        )


def test_scripts_name_the_python_of_the_image(wheels: Path, tmp_path: Path) -> None:
    """The first line is the base's interpreter, however long that of this machine is, and the script may be run."""
    script = installed(wheels, tmp_path / "x")["bin/alpha"]
    assert content(script).startswith(b"#!/usr/local/bin/python3.11\n") and script.executable
    assert b"'''exec'" not in content(script)
    compile(content(script), "alpha", "exec")


def test_record_is_right(wheels: Path, tmp_path: Path) -> None:
    """Every file is recorded with its digest and size, in order; what is not there is not named."""
    files = installed(wheels, tmp_path / "x")
    assert ".lock" not in files and not [
        path for path in files if path.endswith(("direct_url.json", "uv_cache.json", ".pyc"))
    ]
    recorded = set()
    for name in ("alpha", "beta"):
        rows = list(csv.reader(io.StringIO(content(files[f"{name}-1.0.dist-info/RECORD"]).decode())))
        assert rows == sorted(rows)
        for path, digest, size in rows:
            recorded.add(path)
            if digest:
                data = content(files[path])
                expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
                assert (digest, size) == (f"sha256={expected}", str(len(data)))
    assert recorded == set(files)
    assert content(files["alpha-1.0.dist-info/INSTALLER"]) == packages.INSTALLER


def test_a_wheel_that_is_missing_is_one_line(wheels: Path, tmp_path: Path) -> None:
    """What the locked requirements name and no place has."""
    wanted = locked(wheels)
    (wheels / "beta-1.0-py3-none-any.whl").unlink()
    with pytest.raises(ImageBuildError, match="beta") as failed:
        packages.install_packages(wanted, tmp_path / "packages", offline(wheels, tmp_path / "cache"), ignore)
    assert "\n" not in failed.value.message and failed.value.hints


def test_a_wheel_with_other_content_is_refused(wheels: Path, tmp_path: Path) -> None:
    """The hash of the lock decides."""
    wanted = locked(wheels)
    name, other = handmade.distribution("beta", "1.0", {"space/beta.py": b"evil"})
    (wheels / name).write_bytes(other)
    with pytest.raises(ImageBuildError, match=r"[Hh]ash"):
        packages.install_packages(wanted, tmp_path / "packages", offline(wheels, tmp_path / "cache"), ignore)


def test_all_that_decides_is_in_the_key(wheels: Path) -> None:
    """Another lock, Python, platform or interpreter is another layer."""
    keys = {
        packages.cache_key(locked(wheels), "/usr/bin/env python3"),
        packages.cache_key(locked(wheels), "/usr/local/bin/python3"),
        packages.cache_key(locked(wheels, python="3.12"), "/usr/bin/env python3"),
        packages.cache_key(locked(wheels, platform="linux/arm64"), "/usr/bin/env python3"),
        packages.cache_key(locked(wheels), "/usr/bin/env python3", "3.11.9"),
    }
    assert len(keys) == 5


def test_packages_that_share_a_file_are_told(tmp_path: Path) -> None:
    """Which one wins depends on the installer, so it is said."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in ("alpha", "beta"):
        filename, wheel = handmade.distribution(name, "1.0", {"shared.py": name.encode()})
        (folder / filename).write_bytes(wheel)
    packages.install_packages(locked(folder), tmp_path / "packages", offline(folder, tmp_path / "cache"), ignore)
    heard: list[Event] = []
    files = packages.walk_files(tmp_path / "packages")
    packages.list_entries(files, tmp_path / "compiled", "/usr/bin/env python3", Bytecode(), heard.append)
    assert [event for event in heard if isinstance(event, Noted) and "shared.py" in event.text]


def test_what_is_in_the_cache_needs_no_index(wheels: Path, tmp_path: Path) -> None:
    """The second time no index is asked: one may be slow, or away."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            name = self.path.strip("/").rpartition("/")[2]
            found = sorted(wheels.glob(f"{name}-*.whl")) or [wheels / name]
            links = "".join(f'<a href="/files/{path.name}">{path.name}</a>' for path in found).encode()
            body = found[0].read_bytes() if self.path.startswith("/files/") else links
            self.send_response(200)
            kind = "application/octet-stream" if self.path.startswith("/files/") else "text/html"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    own = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_"))}
    address = f"http://127.0.0.1:{server.server_port}/simple"
    environment = {**own, "UV_DEFAULT_INDEX": address, "UV_CACHE_DIR": str(tmp_path / "cache")}
    packages.install_packages(locked(wheels), tmp_path / "one", environment, ignore)
    assert asked
    asked.clear()
    packages.install_packages(locked(wheels), tmp_path / "two", environment, ignore)
    server.shutdown()
    server.server_close()
    assert asked == []
    assert packages.walk_files(tmp_path / "one").keys() == packages.walk_files(tmp_path / "two").keys()
