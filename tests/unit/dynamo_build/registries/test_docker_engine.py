"""The door to the engine: who answers, what is sent, and what is said when it does not work."""

from __future__ import annotations

import contextlib
import io
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynamo_build.errors import ImageBuildError, RegistryError, ToolMissing
from dynamo_build.events import Event, Noted, Progress
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci.layer import Entry, Layer, write_layer
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.registries import docker_engine
from support import engine as double

REFERENCE = ImageReference.parse("hello:1")


def layer(content: bytes) -> Layer:
    blob = io.BytesIO()
    digest, diff_id, size = write_layer([Entry(path="file", content=content)], blob)
    return Layer(digest=digest, diff_id=diff_id, size=size, source=lambda: io.BytesIO(blob.getvalue()))


def image(*contents: bytes) -> OciImage:
    return OciImage.compose({"os": "linux", "architecture": "amd64"}, [layer(content) for content in contents])


@pytest.fixture
def running() -> Iterator[double.Engine]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, double.running(Path(folder)) as engine:
        yield engine


def blobs(archive: dict[str, bytes]) -> set[str]:
    return {name.replace("blobs/", "").replace("/", ":") for name in archive if name.startswith("blobs/")}


def test_an_engine_is_found_by_its_address(running: double.Engine) -> None:
    """DOCKER_HOST names it, and only one that answers counts."""
    assert docker_engine.find_engine({"DOCKER_HOST": running.address}) == running.address


@pytest.mark.parametrize(
    "address", ["unix:///nope.sock", "tcp://127.0.0.1:1", "ssh://host", "nonsense", "tcp://[", "unix://"]
)
def test_no_engine_is_no_error(address: str) -> None:
    """Whether one answers is a question, not a failure; another than the named one is never taken."""
    assert docker_engine.find_engine({"DOCKER_HOST": address}) == ""


def test_a_socket_that_nobody_serves(tmp_path: Path) -> None:
    """A socket file left behind is no engine."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, socket.socket(socket.AF_UNIX) as left:
        left.bind(f"{folder}/s")
        left.close()
        assert docker_engine.find_engine({"DOCKER_HOST": f"unix://{folder}/s"}) == ""
    assert docker_engine.find_engine({"DOCKER_HOST": f"unix://{tmp_path}"}) == ""


def test_the_users_own_engine_is_found(running: double.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without DOCKER_HOST the usual places are looked at, the user's runtime folder among them."""
    folder = Path(running.address.removeprefix("unix://")).parent
    (folder / "docker.sock").symlink_to("engine.sock")
    monkeypatch.setattr(docker_engine, "DEFAULT_SOCKET", "/nope.sock")
    assert docker_engine.find_engine({"XDG_RUNTIME_DIR": str(folder)}) == f"unix://{folder}/docker.sock"
    assert docker_engine.find_engine({}) == ""


def test_a_new_image_is_sent_whole(running: double.Engine) -> None:
    """An engine without any of the layers gets all of them, and the id is the config's digest."""
    made = image(b"base", b"code")
    assert docker_engine.load_image(made, REFERENCE, running.address) == made.config_digest
    assert {item.digest for item in made.layers} <= blobs(running.archives[0])


def test_known_layers_stay_at_home(running: double.Engine) -> None:
    """Only what is above the layers that the engine has is sent."""
    docker_engine.load_image(image(b"base", b"one"), REFERENCE, running.address)
    second = image(b"base", b"two")
    docker_engine.load_image(second, REFERENCE, running.address)
    assert blobs(running.archives[1]) == {second.layers[1].digest, second.config_digest, second.digest}


def test_a_layer_in_the_middle_is_not_known(running: double.Engine) -> None:
    """A layer counts only when all below it are the same."""
    docker_engine.load_image(image(b"base", b"one"), REFERENCE, running.address)
    other = image(b"other base", b"one")
    docker_engine.load_image(other, REFERENCE, running.address)
    assert {item.digest for item in other.layers} <= blobs(running.archives[1])


def test_an_engine_that_wants_all_gets_all(running: double.Engine) -> None:
    """Leaving layers out rests on no specification, so a refusal means the whole archive, and one line about it."""
    docker_engine.load_image(image(b"base", b"one"), REFERENCE, running.address)
    running.refuse_parts = True
    heard: list[Event] = []
    second = image(b"base", b"two")
    assert docker_engine.load_image(second, REFERENCE, running.address, heard.append) == second.config_digest
    assert len(running.archives) == 3
    assert [event for event in heard if isinstance(event, Noted)] == [
        Noted(text="the engine does not take a part of an image; sending all of it")
    ]


def test_containerds_store_gets_all(running: double.Engine) -> None:
    """An engine over containerd's store is sent the whole archive at once."""
    docker_engine.load_image(image(b"base", b"one"), REFERENCE, running.address)
    running.info = {"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}
    second = image(b"base", b"two")
    docker_engine.load_image(second, REFERENCE, running.address)
    assert {item.digest for item in second.layers} <= blobs(running.archives[1])


def test_a_refusal_is_one_line(running: double.Engine) -> None:
    """What the engine says is what the user reads."""
    running.refuse_all = "no space left on device"
    with pytest.raises(ImageBuildError, match="the engine did not load hello:1: no space left on device"):
        docker_engine.load_image(image(b"base"), REFERENCE, running.address)


def test_no_engine_says_what_to_do() -> None:
    """One line with the address, and hints."""
    with pytest.raises(ToolMissing, match=r"no Docker Engine answers at unix:///nope.sock") as caught:
        docker_engine.load_image(image(b"base"), REFERENCE, "unix:///nope.sock")
    assert any("oci" in hint for hint in caught.value.hints)


def test_a_damaged_layer_is_the_layers_fault(running: double.Engine) -> None:
    """A layer that is not what its digest says stops the load, and the engine holds nothing of it."""
    good = layer(b"base")
    bad = Layer(digest=good.digest, diff_id=good.diff_id, size=good.size, source=lambda: io.BytesIO(b"x" * good.size))
    made = OciImage.compose({"os": "linux", "architecture": "amd64"}, [bad])
    with pytest.raises(RegistryError, match="has other content than its digest says"):
        docker_engine.load_image(made, REFERENCE, running.address)
    assert running.archives == []


def test_progress_is_told_in_steps(running: double.Engine) -> None:
    """Small images say nothing; large ones a hundred times at most."""
    heard: list[Event] = []
    docker_engine.load_image(image(b"small"), REFERENCE, running.address, heard.append)
    assert not [event for event in heard if isinstance(event, Progress)]


@pytest.mark.parametrize(
    ("reference", "name"),
    [("a/b", "a/b:latest"), ("127.0.0.1:5000/a:1", "127.0.0.1:5000/a:1"), (f"a:1@sha256:{'0' * 64}", "a:1")],
)
def test_names_in_an_engine(reference: str, name: str) -> None:
    """An engine names images by tag."""
    assert docker_engine.format_reference(ImageReference.parse(reference)) == name


def test_an_engine_that_talks_nonsense() -> None:
    """Another server on the port is not an engine."""
    with contextlib.closing(socket.socket()) as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        import threading

        def answer() -> None:
            client, _ = server.accept()
            client.recv(100)
            client.sendall(b"SSH-2.0-OpenSSH\r\n")
            client.close()

        thread = threading.Thread(target=answer)
        thread.start()
        assert docker_engine.find_engine({"DOCKER_HOST": f"tcp://127.0.0.1:{server.getsockname()[1]}"}) == ""
        thread.join()
