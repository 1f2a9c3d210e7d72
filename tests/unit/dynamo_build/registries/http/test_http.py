"""The registry client against a registry in this process, and every fault that one can have."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest

from dynamo_build.errors import RegistryError
from dynamo_build.events import Event, LayerPushed, ignore
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci.layer import Entry
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.registries.http import HttpRegistry
from dynamo_build.seams import Surroundings
from support import handmade
from support.registry import Fault, running


def made(*, size: int = 100) -> OciImage:
    content = bytes((index * 7919 + index // 251) % 256 for index in range(size))
    return handmade.image().with_layers([handmade.packed([Entry(path="app/code", content=content)], "code")])


def client(tmp_path: Path, waits: list[float] | None = None, piece: int = 1 << 20, **environment: str) -> HttpRegistry:
    waits = [] if waits is None else waits
    return HttpRegistry(Surroundings(environment=environment, cache=tmp_path), piece=piece, wait=waits.append)


def at(host: str, path: str = "team/app:v1") -> ImageReference:
    return ImageReference.parse(f"{host}/{path}")


def auth(host: str, user: str = "me", secret: str = "secret") -> str:
    return json.dumps({"auths": {host: {"auth": base64.b64encode(f"{user}:{secret}".encode()).decode()}}})


def test_nothing_is_sent_twice(tmp_path: Path) -> None:
    """A second push sends no blob; a push to another repository mounts them."""
    with running() as (host, content):
        image = made()
        client(tmp_path).push(image, (at(host),), ignore)
        before = content.blobs_sent()
        assert before == 3
        client(tmp_path).push(image, (at(host),), ignore)
        assert content.blobs_sent() == before
        pulled = client(tmp_path).pull(at(host), "linux/amd64")
        heard: list[Event] = []
        client(tmp_path).push(pulled, (at(host, "other/place:v1"),), heard.append)
        assert [event.how for event in heard if isinstance(event, LayerPushed)] == ["mounted", "mounted"]
        assert content.blobs_sent() == before + 1


def test_a_refused_mount_falls_back_to_an_upload(tmp_path: Path) -> None:
    """A registry that answers a mount with 202, or forbids it, gets the blob."""
    with running() as (host, content):
        client(tmp_path).push(made(), (at(host),), ignore)
        pulled = client(tmp_path).pull(at(host), "linux/amd64")
        content.faults.append(Fault("POST", "mount=", 403, times=1))
        for layer in pulled.layers:
            content.blobs.pop(("team/app", "unknown"), None)
        client(tmp_path).push(pulled, (at(host, "other/place:v1"),), ignore)
        assert ("other/place", pulled.layers[0].digest) in content.blobs


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 0])
def test_passing_faults_are_survived(tmp_path: Path, status: int) -> None:
    """Overload, server errors and cut connections are tried again, for every kind of request."""
    with running() as (host, content):
        image, waits = made(), []
        content.faults += [
            Fault("HEAD", "blobs/sha256", status, times=2),
            Fault("POST", "uploads", status),
            Fault("PUT", "uploads", status),
            Fault("PUT", "manifests", status, times=2),
        ]
        assert str(client(tmp_path, waits).push(image, (at(host),), ignore)) == image.digest
        assert waits
        content.faults.append(Fault("GET", "manifests", status, times=2))
        assert client(tmp_path, waits).pull(at(host), "linux/amd64").digest == image.digest


def test_retry_after_is_obeyed(tmp_path: Path) -> None:
    """The registry's own wish decides how long to wait."""
    with running() as (host, content):
        waits: list[float] = []
        content.faults.append(Fault("PUT", "manifests", 429, headers={"Retry-After": "7"}))
        client(tmp_path, waits).push(made(), (at(host),), ignore)
        assert waits == [7.0]


def test_lasting_faults_end_in_one_line(tmp_path: Path) -> None:
    """A fault that does not pass is an error with the registry's words, after a few tries, and no tag is written."""
    with running() as (host, content):
        content.faults.append(Fault("PUT", "uploads", 500, times=99))
        with pytest.raises(RegistryError) as failed:
            client(tmp_path).push(made(), (at(host),), ignore)
        assert (failed.value.status, failed.value.message.count("\n")) == (500, 0)
        assert "answered 500" in failed.value.message and "a fault" in failed.value.message
        assert not content.manifests


@pytest.mark.parametrize(("status", "said"), [(401, "asks for a login"), (403, "denies access"), (404, "has no")])
def test_refusals_are_not_tried_again(tmp_path: Path, status: int, said: str) -> None:
    """401, 403 and 404 are final, and each says what to do."""
    with running() as (host, content):
        content.faults.append(Fault("GET", "manifests", status, times=99))
        waits: list[float] = []
        with pytest.raises(RegistryError, match=said) as refused:
            client(tmp_path, waits).resolve(at(host))
        assert refused.value.status == status and refused.value.hints and not waits


def test_large_blobs_go_in_pieces_and_resume(tmp_path: Path) -> None:
    """A cut in mid-blob costs one piece: what had arrived is not sent again."""
    with running() as (host, content):
        image = handmade.image().with_layers(
            [handmade.packed([Entry(path="x", content=__import__("os").urandom(400_000))])]
        )
        size = image.layers[-1].size
        content.faults.append(Fault("PATCH", "uploads", 0, times=1))
        client(tmp_path, piece=65536).push(image, (at(host),), ignore)
        assert content.blobs["team/app", image.layers[-1].digest] == image.layers[-1].open().read()
        patches = sum(1 for method, _ in content.requests if method == "PATCH")
        assert patches == -(-size // 65536) + 1


def test_a_forgotten_upload_starts_again(tmp_path: Path) -> None:
    """When the registry has lost an upload, it begins anew."""
    with running() as (host, content):
        image = handmade.image().with_layers(
            [handmade.packed([Entry(path="x", content=__import__("os").urandom(200_000))])]
        )
        content.faults += [Fault("PATCH", "uploads", 404), Fault("GET", "uploads", 404)]
        client(tmp_path, piece=65536).push(image, (at(host),), ignore)
        assert ("team/app", image.layers[-1].digest) in content.blobs


def test_a_lying_registry_is_noticed(tmp_path: Path) -> None:
    """Another manifest, config or layer than was asked for is refused."""
    with running() as (host, content):
        image = made()
        client(tmp_path).push(image, (at(host),), ignore)
        kind, body = content.manifests["team/app", image.digest]
        content.manifests["team/app", image.digest] = (kind, body + b" ")
        with pytest.raises(RegistryError, match="another manifest"):
            client(tmp_path).resolve(replace(at(host), tag="", digest=image.digest))
        content.blobs["team/app", image.config_digest] = b"{}"
        with pytest.raises(RegistryError, match="a config with another digest"):
            client(tmp_path).pull(at(host), "linux/amd64")
        content.blobs["team/app", image.config_digest] = image.config
        content.blobs["team/app", image.layers[0].digest] = b"x" * image.layers[0].size
        with pytest.raises(RegistryError, match="other content"):
            client(tmp_path).pull(at(host), "linux/amd64").layers[0].open().read()


@pytest.mark.parametrize("bearer", [False, True])
def test_logins_work(tmp_path: Path, bearer: bool) -> None:
    """Basic and bearer challenges are answered from the docker config; mounts get a token for both repositories."""
    with running("me", "secret", bearer=bearer) as (host, content):
        image = made()
        logged_in = client(tmp_path, DOCKER_AUTH_CONFIG=auth(host))
        logged_in.push(image, (at(host),), ignore)
        assert logged_in.pull(at(host), "linux/amd64").digest == image.digest
        logged_in.push(logged_in.pull(at(host), "linux/amd64"), (at(host, "other/app:v1"),), ignore)
        assert ("other/app", "v1") in content.manifests


@pytest.mark.parametrize("bearer", [False, True])
def test_bad_logins_are_one_line(tmp_path: Path, bearer: bool) -> None:
    """A wrong secret and no secret are told apart, and neither shows in the message."""
    with running("me", "secret", bearer=bearer) as (host, _):
        with pytest.raises(RegistryError, match="refused the credentials") as refused:
            client(tmp_path, DOCKER_AUTH_CONFIG=auth(host, secret="hunter2")).resolve(at(host))
        assert "hunter2" not in refused.value.message + "".join(refused.value.hints)
        with pytest.raises(RegistryError, match="asks for a login"):
            client(tmp_path).resolve(at(host))


def test_an_expired_token_is_bought_again(tmp_path: Path) -> None:
    """A token that is refused in mid-work is replaced without a word."""
    with running("me", "secret", bearer=True) as (host, content):
        logged_in = client(tmp_path, DOCKER_AUTH_CONFIG=auth(host))
        logged_in.push(made(), (at(host),), ignore)
        content.tokens.clear()
        assert logged_in.resolve(at(host))


def test_no_registry_is_one_line(tmp_path: Path) -> None:
    """Nothing listens, or the name is unknown: one line at once."""
    waits: list[float] = []
    with pytest.raises(RegistryError, match=r"no registry listens at `127\.0\.0\.1:1`"):
        client(tmp_path, waits).resolve(at("127.0.0.1:1"))
    assert not waits


def test_references_of_docker_hub(tmp_path: Path) -> None:
    """A name without a host is Docker Hub's, in `library` where it has one part."""
    from dynamo_build.registries.http import _repository_name

    assert _repository_name(ImageReference.parse("python:3.11")) == "library/python"
    assert _repository_name(ImageReference.parse("team/app")) == "team/app"
    assert client(tmp_path)._find_client(ImageReference.parse("python:3.11")).address == "registry-1.docker.io"
