"""Images whose packages come from an index with a login: every builder gets in, and nothing of the login stays anywhere."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import http.server
import io
import json
import os
import secrets
import shutil
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from dynamo_build import catalog
from dynamo_build.errors import ImageBuildError
from dynamo_build.events import Event, ignore
from dynamo_build.model.bento import Bento
from dynamo_build.model.image import ContainerizeOptions
from dynamo_build.model.reference import ImageReference
from dynamo_build.pipeline import containerize
from dynamo_build.seams import Surroundings
from support import handmade

pytestmark = [pytest.mark.docker, pytest.mark.registry]
NAME, WHEEL = handmade.distribution("alpha", "1.0", {"alpha/__init__.py": b"A = 1\n"})
PASSWORD = f"of-the-index-{secrets.token_hex(8)}"
TOKEN = f"of-a-command-{secrets.token_hex(8)}"


@pytest.fixture(scope="module")
def index() -> Iterator[str]:
    """`host:port` of an index that wants a login, and has one package."""
    wanted = "Basic " + base64.b64encode(f"reader:{PASSWORD}".encode()).decode()
    pages = {
        "/simple/alpha/": ("text/html", f'<a href="/files/{NAME}">{NAME}</a>'.encode()),
        f"/files/{NAME}": ("application/octet-stream", WHEEL),
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            allowed = self.headers.get("Authorization") == wanted
            kind, content = pages.get(self.path, ("text/plain", b"")) if allowed else ("text/plain", b"")
            self.send_response((200 if self.path in pages else 404) if allowed else 401)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def around(tmp_path: Path, docker_host: str, index: str) -> Surroundings:
    settings = f"[global]\nindex-url = http://reader:{PASSWORD}@{index}/simple\n"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DYNAMO_", "PIP_", "UV_"))}
    own = {"DOCKER_HOST": docker_host, "DYNAMO_HOME": str(tmp_path / "home"), "TOKEN": TOKEN, "PIP_SETTINGS": settings}
    return catalog.default_surroundings({**kept, **own, "UV_CACHE_DIR": str(tmp_path / "uv")}, tmp_path / "cache")


def runtime() -> dict[str, bytes]:
    """A runtime that pip takes."""
    _, content = handmade.distribution("dynamo_runtime", "0.1.0", {"dynamo/worker.py": b"print('worker')\n"})
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def bento(tmp_path: Path) -> Bento:
    requirements = f"alpha==1.0 --hash=sha256:{hashlib.sha256(WHEEL).hexdigest()}\n"
    return handmade.bento(tmp_path / "bento", requirements=requirements, runtime=runtime())


def options(builder: str, base: str, registry: str, *given: str) -> ContainerizeOptions:
    reference = f"{registry}/secret/{secrets.token_hex(6)}:{builder}"
    return ContainerizeOptions(
        bases=(base,),
        builder=builder,
        references=(reference,),
        push=True,
        secrets=given or ("id=pip,env=PIP_SETTINGS",),
    )


@pytest.mark.parametrize("builder", ["oci", "docker", "buildah", "podman"])
def test_nothing_of_a_secret_stays(
    builder: str, bento: Bento, around: Surroundings, base_image: str, registry: str, as_root: None
) -> None:
    """Not in a layer, a config, a manifest, a line that was said, nor in the engine's history."""
    if builder in ("buildah", "podman") and shutil.which(builder) is None:
        pytest.skip(f"needs {builder}")
    heard: list[Event] = []
    (image,) = containerize.containerize(bento, options(builder, base_image, registry), around, heard.append)
    places = [repr(heard).encode()]
    to = around.registry(found := ImageReference.parse(image.reference))
    pulled = to.pull(found, "linux/amd64")
    names = b""
    for layer in pulled.layers:
        with contextlib.closing(layer.open()) as stream:
            content = stream.read()
        places.append(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
        names += places[-1]
    assert b"app/packages/alpha/__init__.py" in names
    places += [pulled.manifest, pulled.config, image.reference.encode()]
    if builder == "docker":
        with contextlib.closing(docker.APIClient(base_url=around.environment["DOCKER_HOST"])) as client:
            identity = image.config_digest
            places.append(json.dumps([client.history(identity), client.inspect_image(identity)]).encode())
    assert [number for number, place in enumerate(places) if PASSWORD.encode() in place] == []


@pytest.mark.parametrize("builder", ["docker", "buildah", "podman"])
def test_commands_read_secrets(
    builder: str, tmp_path: Path, around: Surroundings, base_image: str, registry: str, as_root: None
) -> None:
    """A setup command finds each at /run/secrets; the next command of the image does not."""
    if builder in ("buildah", "podman") and shutil.which(builder) is None:
        pytest.skip(f"needs {builder}")
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    check = "import hashlib,pathlib;print(hashlib.sha256(pathlib.Path('/run/secrets/token').read_bytes()).hexdigest())"
    command = f'test "$(python -c "{check}")" = {digest} && echo seen > /etc/seen'
    made = handmade.bento(tmp_path / "bento", runtime=runtime(), setup_commands=(command,))
    (image,) = containerize.containerize(
        made, options(builder, base_image, registry, "id=token,env=TOKEN"), around, ignore
    )
    found = ImageReference.parse(image.reference)
    for layer in around.registry(found).pull(found, "linux/amd64").layers:
        with contextlib.closing(layer.open()) as stream:
            assert TOKEN.encode() not in gzip.decompress(stream.read())


def test_a_wrong_login_is_one_line_without_it(
    tmp_path: Path, around: Surroundings, base_image: str, registry: str, index: str
) -> None:
    """Neither pip's nor uv's words repeat it."""
    requirements = f"beta==1.0 --hash=sha256:{secrets.token_hex(32)}\n"
    bento = handmade.bento(tmp_path / "bento", requirements=requirements, runtime=runtime())
    wrong = f"not-{PASSWORD}"
    environment = {
        **around.environment,
        "PIP_SETTINGS": f"[global]\nindex-url = http://reader:{wrong}@{index}/simple\n",
    }
    mistaken = catalog.default_surroundings(environment, around.cache)
    heard: list[Event] = []
    for builder in ("oci", "docker"):
        with pytest.raises(ImageBuildError) as failed:
            containerize.containerize(bento, options(builder, base_image, registry), mistaken, heard.append)
        assert wrong not in failed.value.message + repr(failed.value.hints) + repr(heard)


def test_the_classic_builder_refuses(bento: Bento, around: Surroundings, base_image: str, registry: str) -> None:
    """One line, before anything is built."""
    classic = catalog.default_surroundings({**around.environment, "DOCKER_BUILDKIT": "0"}, around.cache)
    with pytest.raises(ImageBuildError, match="classic builder cannot mount secrets") as failed:
        containerize.containerize(bento, options("docker", base_image, registry), classic, ignore)
    assert "\n" not in failed.value.message
