"""Cuts, expired tokens, full disks and lies of a registry: the right outcome or one line, and nothing is sent twice."""

from __future__ import annotations

import base64
import email.utils
import json
import os
import time
from pathlib import Path

import pytest

from dynamo_build.errors import RegistryError
from dynamo_build.events import Event, Progress, ignore
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci.layer import Entry
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.registries.http import HttpRegistry
from dynamo_build.registries.http.client import retry_delay
from dynamo_build.registries.http.upload import Unfinished
from dynamo_build.seams import Surroundings
from support import handmade
from support.registry import Content, Fault, running

PIECE = 1 << 16


def large(size: int = 400_000) -> OciImage:
    return handmade.image().with_layers([handmade.packed([Entry(path="x", content=os.urandom(size))], "large")])


def client(cache: Path, waits: list[float] | None = None, **environment: str) -> HttpRegistry:
    around = Surroundings(environment=environment, cache=cache)
    return HttpRegistry(around, piece=PIECE, wait=([] if waits is None else waits).append)


def at(host: str) -> ImageReference:
    return ImageReference.parse(f"{host}/team/app:v1")


def holds(content: Content, image: OciImage) -> bool:
    return all(("team/app", layer.digest) in content.blobs for layer in image.layers)


def test_a_run_goes_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    """The first run dies after three pieces; the second sends the rest of the blob and no byte of those."""
    with running() as (host, content):
        image = large()
        content.faults.append(Fault("PATCH", "uploads", 403, after=3))
        with pytest.raises(RegistryError, match="denies access"):
            client(tmp_path).push(image, (at(host),), ignore)
        before = content.received
        heard: list[Event] = []
        client(tmp_path).push(image, (at(host),), heard.append)
        assert holds(content, image)
        large_blob, small = image.layers[-1].size, image.layers[0].size
        again = content.received - before - len(image.config) - len(image.manifest)
        assert again <= large_blob - 3 * PIECE + small
        seen = [event.done for event in heard if isinstance(event, Progress)]
        assert seen[-1] == image.size and seen == sorted(seen)
        assert not list((tmp_path / "uploads").iterdir())


def test_bytes_that_arrived_of_a_cut_piece_stay(tmp_path: Path) -> None:
    """A registry that kept half of a piece gets the other half only."""
    with running() as (host, content):
        image, waits = large(), []
        content.faults.append(Fault("PATCH", "uploads", 0, after=2, arrived=10_000))
        client(tmp_path, waits).push(image, (at(host),), ignore)
        assert holds(content, image) and len(waits) == 1
        sent = image.size + len(image.config) + len(image.manifest)
        assert content.received == sent


@pytest.mark.parametrize("arrived", [0, 1, 2])
def test_nothing_and_one_byte_look_the_same(tmp_path: Path, arrived: int) -> None:
    """The range of both is `0-0`, so that the upload begins anew; also in a later run."""
    with running() as (host, content):
        image = large()
        content.faults.append(Fault("PATCH", "uploads", 0, arrived=arrived))
        client(tmp_path).push(image, (at(host),), ignore)
        assert holds(content, image)
    with running() as (host, content):
        content.faults += [Fault("PATCH", "uploads", 0, arrived=arrived), Fault("GET", "uploads", 403)]
        with pytest.raises(RegistryError):
            client(tmp_path).push(image, (at(host),), ignore)
        client(tmp_path).push(image, (at(host),), ignore)
        assert holds(content, image)


def test_an_upload_that_the_registry_lost_begins_again(tmp_path: Path) -> None:
    """A note of a run long ago is worth a question, and no failure."""
    with running() as (host, content):
        image = large()
        content.faults.append(Fault("PATCH", "uploads", 403, after=1))
        with pytest.raises(RegistryError):
            client(tmp_path).push(image, (at(host),), ignore)
        content.uploads.clear()
        client(tmp_path).push(image, (at(host),), ignore)
        assert holds(content, image)


def test_a_note_leads_to_its_own_registry_only(tmp_path: Path) -> None:
    """What is in the note is not believed beyond that: no other host is asked, and nothing is sent there."""
    with running() as (host, content), running() as (other, stranger):
        image = large()
        notes = Unfinished(tmp_path / "uploads")
        notes.store_location(f"{host}/team/app", image.layers[-1].digest, f"http://{other}/v2/team/app/blobs/uploads/1")
        client(tmp_path).push(image, (at(host),), ignore)
        assert holds(content, image) and not stranger.requests
        (tmp_path / "uploads").mkdir(exist_ok=True)
        for text in ("{", "[]", '{"location": 3}', ""):
            notes._location_path(f"{host}/team/app", "sha256:1").write_text(text)
            assert notes.find_location(f"{host}/team/app", "sha256:1") in ("", "3")


def test_notes_are_for_their_owner(tmp_path: Path) -> None:
    """A location may hold a token."""
    notes = Unfinished(tmp_path / "uploads")
    notes.store_location("host/app", "sha256:1", "http://host/1?state=secret")
    (path,) = (tmp_path / "uploads").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert notes.find_location("host/app", "sha256:1") == "http://host/1?state=secret"
    notes.remove_location("host/app", "sha256:1")
    assert notes.find_location("host/app", "sha256:1") == ""


@pytest.mark.parametrize("ranges", [True, False])
def test_a_blob_that_is_cut_while_it_is_read_goes_on(tmp_path: Path, ranges: bool) -> None:
    """With ranges nothing is fetched twice; without them what is there is skipped."""
    with running() as (host, content):
        image, waits = large(), []
        client(tmp_path).push(image, (at(host),), ignore)
        content.ranges = ranges
        content.faults += [Fault("GET", f"blobs/{image.layers[-1].digest}", 0, arrived=100_000) for _ in range(2)]
        content.sent = 0
        pulled = client(tmp_path, waits).pull(at(host), "linux/amd64")
        stream = pulled.layers[-1].open()
        read = b""
        while piece := stream.read(50_000):
            read += piece
        assert read == image.layers[-1].open().read() and len(waits) == 2
        if ranges:
            assert content.sent == image.layers[-1].size + len(image.config)


def test_a_blob_that_is_always_cut_is_one_line(tmp_path: Path) -> None:
    """A few tries without any progress, then the fault."""
    with running() as (host, content):
        image = large()
        client(tmp_path).push(image, (at(host),), ignore)
        content.faults.append(Fault("GET", f"blobs/{image.layers[-1].digest}", 0, times=99))
        with pytest.raises(RegistryError) as failed:
            client(tmp_path).pull(at(host), "linux/amd64").layers[-1].open().read()
        assert "\n" not in failed.value.message


def test_a_token_that_expires_in_mid_push(tmp_path: Path) -> None:
    """It is bought again between two pieces, and no piece is sent twice."""
    with running("me", "secret", bearer=True) as (host, content):
        image = large()
        login = json.dumps({"auths": {host: {"auth": base64.b64encode(b"me:secret").decode()}}})
        given = content.fault

        def expiring(method: str, path: str) -> Fault | None:
            if method == "PATCH" and len([1 for asked, _ in content.requests if asked == "PATCH"]) == 3:
                content.tokens.clear()
            return given(method, path)

        content.fault = expiring  # type: ignore[method-assign]
        client(tmp_path, DOCKER_AUTH_CONFIG=login).push(image, (at(host),), ignore)
        assert holds(content, image)
        bought = [path for method, path in content.requests if path.startswith("/token")]
        assert len(bought) >= 2


@pytest.mark.parametrize("path", ["uploads", "manifests"])
def test_a_full_disk_of_the_registry(tmp_path: Path, path: str) -> None:
    """Its words are the error, no tag is written, and the same push works once there is room."""
    with running() as (host, content):
        image = large()
        body = b'{"errors":[{"code":"UNKNOWN","message":"no space left on device"}]}'
        content.faults += [Fault(method, path, 500, times=99, body=body) for method in ("PATCH", "PUT")]
        with pytest.raises(RegistryError, match="no space left on device") as failed:
            client(tmp_path).push(image, (at(host),), ignore)
        assert failed.value.status == 500 and not content.manifests
        content.faults.clear()
        client(tmp_path).push(image, (at(host),), ignore)
        assert holds(content, image) and ("team/app", "v1") in content.manifests


def test_a_wrong_digest_is_refused_by_the_registry(tmp_path: Path) -> None:
    """DIGEST_INVALID is final: it is not sent again and again."""
    with running() as (host, content):
        body = b'{"errors":[{"code":"DIGEST_INVALID","message":"digest did not match"}]}'
        content.faults.append(Fault("PUT", "uploads", 400, times=99, body=body))
        waits: list[float] = []
        with pytest.raises(RegistryError, match=r"answered 400 .*digest did not match"):
            client(tmp_path, waits).push(large(), (at(host),), ignore)
        assert not waits and not content.manifests


def test_a_registry_that_hangs(tmp_path: Path) -> None:
    """No answer in time is a passing fault; the next try gets one."""
    with running() as (host, content):
        image, waits = large(), []
        slow = client(tmp_path, waits)
        slow._find_client(at(host)).connections.routes.seconds = 0.3
        content.faults.append(Fault("PUT", "manifests", 201, seconds=0.8))
        slow.push(image, (at(host),), ignore)
        assert waits and ("team/app", "v1") in content.manifests


@pytest.mark.parametrize("form", ["number", "date"])
def test_uploads_obey_retry_after_too(tmp_path: Path, form: str) -> None:
    """Seconds or a date (RFC 9110 section 10.2.3), for whole blobs and for pieces."""
    with running() as (host, content):
        waits: list[float] = []
        said = "7" if form == "number" else email.utils.formatdate(time.time() + 7, usegmt=True)
        content.faults += [Fault(method, "uploads/", 429, headers={"Retry-After": said}) for method in ("PATCH", "PUT")]
        client(tmp_path, waits).push(large(), (at(host),), ignore)
        assert len(waits) == 2 and all(5 < wait <= 7 for wait in waits)


def test_waiting_has_an_end() -> None:
    """Twice as long each time up to half a minute; what is asked counts up to two minutes."""
    assert [retry_delay(attempt) for attempt in (0, 1, 2, 30)] == [0.2, 0.4, 0.8, 30.0]
    assert (retry_delay(0, 7.0), retry_delay(0, 9999.0)) == (7.0, 120.0)
