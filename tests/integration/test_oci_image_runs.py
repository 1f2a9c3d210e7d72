"""The daemonless image, from the example's source to an answer, against real parts."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import pytest

from dynamo_build import catalog
from dynamo_build.model.bento import Bento
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci import layout, validate
from dynamo_build.seams import Surroundings
from support import chroot, hello


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="module")
def base(home: Path) -> str:
    return hello.base_made(home / "base")


@pytest.fixture(scope="module")
def around(home: Path) -> Surroundings:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("DYNAMO_", "DYN_", "DOCKER_"))
    }
    return catalog.default_surroundings({**environment, "DYNAMO_HOME": str(home / "store")})


@pytest.fixture(scope="module")
def bento(home: Path, around: Surroundings) -> Bento:
    return hello.bento_made(home, around)


@pytest.mark.root
@pytest.mark.nats
@pytest.mark.usefixtures("as_root")
def test_the_image_runs_and_answers(
    bento: Bento, around: Surroundings, base: str, home: Path, tmp_path: Path, nats_url: str
) -> None:
    """Unpacked in order and run as its user over a real NATS server, the whole graph answers as the README says."""
    hello.built(bento, around, base, folder=str(home / "image"))
    image = layout.read_image(home / "image", "linux/amd64")
    assert validate.find_image_problems(image) == ()
    chroot.unpack(image, tmp_path / "root")
    http, system = hello.free_port(), hello.free_port()
    environment: Mapping[str, str] = {
        "NATS_SERVER": nats_url,
        "DYN_NAMESPACE": f"test-{secrets.token_hex(4)}",
        "DYNAMO_HOST": "127.0.0.1",
        "DYNAMO_PORT": str(http),
        "DYNAMO_SYSTEM_HOST": "127.0.0.1",
        "DYNAMO_SYSTEM_PORT": str(system),
    }
    log = tmp_path / "log"
    with chroot.running(image, tmp_path / "root", (), environment, log) as process:
        answer = hello.asked(http, process, log)
    assert answer == hello.ANSWER


@pytest.mark.registry
def test_a_push_to_a_real_registry(
    bento: Bento, around: Surroundings, base: str, registry: str, tmp_path: Path
) -> None:
    """Same digest as in a folder; a second push sends nothing; a changed line sends one small layer."""
    name = f"{registry}/test/{secrets.token_hex(6)}/hello:v1"
    first = hello.built(bento, around, base, references=(name,), push=True)
    folder = hello.built(bento, around, base, folder=str(tmp_path / "image"))
    assert first.digest == folder.digest
    again = hello.built(bento, around, base, references=(name,), push=True)
    assert again.digest == first.digest and not any(layer.sent for layer in again.layers)
    reference = ImageReference.parse(first.reference)
    assert validate.find_image_problems(around.registry(reference).pull(reference, "linux/amd64")) == ()
    changed = hello.bento_made(tmp_path, around, more="# changed\n")
    third = hello.built(changed, around, base, references=(name,), push=True)
    assert [layer.name for layer in third.layers if layer.sent] == ["code"]
    assert sum(layer.size for layer in third.layers if layer.sent) < 65536


@pytest.mark.registry
def test_a_base_in_the_registry_is_never_fetched(
    bento: Bento, around: Surroundings, base: str, registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its layers are mounted from their own repository; not one of them is opened."""
    name = f"{registry}/test/{secrets.token_hex(6)}"
    held = ImageReference.parse(f"{name}/base:v1")
    source = ImageReference.parse(base)
    pulled = around.registry(source).pull(source, "linux/amd64")
    around.registry(held).push(pulled, (held,), lambda event: None)
    opened: list[str] = []
    found = around.registry(held)
    monkeypatch.setattr(found, "blob", lambda reference, digest, size: opened.append(digest))
    image = hello.built(bento, around, str(held), references=(f"{name}/app:v1",), push=True)
    assert opened == [] and not image.layers[0].sent
    assert json.dumps(image.layers[0].digest)


@pytest.mark.registry
def test_a_registry_with_tls_and_a_login(
    bento: Bento,
    around: Surroundings,
    base: str,
    registry_tls: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A private CA by SSL_CERT_FILE and a login from the docker config; without either, one clear line."""
    import base64

    from dynamo_build.errors import RegistryError

    host = registry_tls["address"]
    options = {"references": (f"{host}/test/{secrets.token_hex(6)}:v1",), "push": True}
    cache = around.cache
    with pytest.raises(RegistryError, match="not trusted"):
        hello.built(bento, catalog.default_surroundings({**around.environment}, cache), base, **options)
    monkeypatch.setenv("SSL_CERT_FILE", registry_tls["ca"])
    with pytest.raises(RegistryError, match="asks for a login"):
        hello.built(
            bento, catalog.default_surroundings({**around.environment, "HOME": str(tmp_path)}, cache), base, **options
        )
    secret = base64.b64encode(f"{registry_tls['user']}:{registry_tls['password']}".encode()).decode()
    login = {"DOCKER_AUTH_CONFIG": json.dumps({"auths": {host: {"auth": secret}}})}
    image = hello.built(bento, catalog.default_surroundings({**around.environment, **login}, cache), base, **options)
    assert image.reference.startswith(host)
