"""Faults of a real registry: its disk is full, its connection is cut in mid-blob, and a push is killed between pieces."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynamo_build.errors import RegistryError
from dynamo_build.events import ignore
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci import validate
from dynamo_build.oci.layer import Entry
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.registries.http import HttpRegistry, _describe_blob
from dynamo_build.seams import Surroundings
from support import handmade, hello

pytestmark = pytest.mark.registry
PIECE = 1 << 20


def large(size: int) -> OciImage:
    return handmade.image().with_layers([handmade.packed([Entry(path="x", content=os.urandom(size))], "large")])


def client(cache: Path) -> HttpRegistry:
    return HttpRegistry(Surroundings(environment={}, cache=cache), piece=PIECE, wait=lambda _: None)


def at(host: str) -> ImageReference:
    return ImageReference.parse(f"{host}/faults/{secrets.token_hex(4)}:v1")


class Cutting:
    """A relay to the registry that ends connections once so many bytes went to it, `times` times."""

    def __init__(self, target: str, limit: int, times: int) -> None:
        host, _, port = target.rpartition(":")
        self._target, self.limit, self.times, self.received = (host, int(port)), limit, times, 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._server.accept()
                there = socket.create_connection(self._target)
                for source, to, counted in ((here, there, True), (there, here, False)):
                    threading.Thread(target=self._copy, args=(source, to, counted), daemon=True).start()

    def _copy(self, source: socket.socket, to: socket.socket, counted: bool) -> None:
        seen = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                to.sendall(data)
                if counted:
                    seen += len(data)
                    self.received += len(data)
                    if self.times and seen > self.limit:
                        self.times -= 1
                        break
        for end in (source, to):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def small_registry(tmp_path: Path, registry: str, as_root: None) -> Iterator[str]:
    """A registry of its own whose disk holds 3 MiB."""
    del registry
    program = shutil.which("docker-registry")
    assert program is not None
    (tmp_path / "disk").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(tmp_path / "disk")], check=True)
    address = f"127.0.0.1:{hello.free_port()}"
    (tmp_path / "config.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/disk}}}}\nhttp: {{addr: '{address}'}}\n"
    )
    process = subprocess.Popen(
        [program, "serve", str(tmp_path / "config.yml")], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        for _ in range(1200):
            with contextlib.suppress(OSError):
                urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
                    f"http://{address}/v2/", timeout=5
                ).close()
                break
            time.sleep(0.05)
        yield address
    finally:
        process.kill()
        process.wait()
        subprocess.run(["umount", str(tmp_path / "disk")], check=True)


@pytest.mark.root
def test_a_full_disk(small_registry: str, tmp_path: Path) -> None:
    """One line with the status; no tag; a small image still goes in afterwards."""
    to = at(small_registry)
    with pytest.raises(RegistryError, match="answered 500") as failed:
        client(tmp_path / "cache").push(large(6 << 20), (to,), ignore)
    assert "\n" not in failed.value.message
    with pytest.raises(RegistryError):
        client(tmp_path / "cache").resolve(to)
    for upload in (tmp_path / "disk").rglob("_uploads"):
        shutil.rmtree(upload)
    assert client(tmp_path / "cache").push(handmade.image(), (to,), ignore)


def test_cut_in_mid_blob(registry: str, tmp_path: Path) -> None:
    """The push goes through all the same, and the image in the registry is whole."""
    relay = Cutting(registry, limit=3 << 20, times=2)
    try:
        image, to = large(8 << 20), at(relay.address)
        client(tmp_path).push(image, (to,), ignore)
        pulled = client(tmp_path).pull(to, "linux/amd64")
        assert pulled.digest == image.digest and validate.find_image_problems(pulled) == ()
        assert relay.times == 0
    finally:
        relay.close()


def test_a_run_that_died_between_pieces_goes_on(registry: str, tmp_path: Path) -> None:
    """What an earlier process sent of a blob stays there, and is not sent again."""
    image, to = large(8 << 20), at(registry)
    blob = image.layers[-1]

    class Died(BaseException):
        pass

    dying = client(tmp_path)
    made = dying._open_upload

    def upload(reference: ImageReference) -> object:
        found, request, pieces = made(reference), dying._find_client(reference).request, [0]

        def counted(method: str, path: str, **named: object) -> object:
            if method == "PATCH":
                pieces[0] += 1
                if pieces[0] > 5:
                    raise Died
            return request(method, path, **named)  # type: ignore[arg-type]

        dying._find_client(reference).request = counted  # type: ignore[method-assign, assignment]
        return found

    dying._open_upload = upload  # type: ignore[method-assign, assignment]
    with pytest.raises(Died):
        dying.push(image, (to,), ignore)
    second, sent = client(tmp_path), []
    assert second._open_upload(to).send_blob(_describe_blob(blob, to), sent.append) == "sent"
    assert sent[0] == 5 * PIECE and sum(sent) == blob.size
    client(tmp_path).push(image, (to,), ignore)
    assert validate.find_image_problems(client(tmp_path).pull(to, "linux/amd64")) == ()
