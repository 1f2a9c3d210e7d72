"""Any weather at a registry: whatever faults come in whatever order, a push ends well or with one line, and then goes through."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo_build.errors import RegistryError
from dynamo_build.events import Event, Progress, ignore
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci import validate
from dynamo_build.oci.layer import Entry
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.registries.http import HttpRegistry
from dynamo_build.seams import Surroundings
from support import handmade
from support.effort import examples
from support.registry import Fault, running

PIECE = 1 << 14
FAULTS = st.builds(
    Fault,
    method=st.sampled_from(["HEAD", "GET", "POST", "PATCH", "PUT"]),
    path=st.sampled_from(["uploads", "blobs/sha256", "manifests", "/v2/"]),
    status=st.sampled_from([0, 0, 400, 401, 403, 404, 408, 416, 429, 500, 502, 503]),
    times=st.integers(1, 6),
    after=st.integers(0, 6),
    arrived=st.sampled_from([0, 1, 999, 9000]),
)


def image() -> OciImage:
    noise = random.Random(7)
    layers = [
        handmade.packed([Entry(path=f"x{size}", content=noise.randbytes(size))], f"x{size}") for size in (90_000, 500)
    ]
    return handmade.image().with_layers(layers)


IMAGE = image()


def client(cache: Path) -> HttpRegistry:
    return HttpRegistry(Surroundings(environment={}, cache=cache), piece=PIECE, wait=lambda _: None)


@settings(max_examples=examples(60))
@given(st.lists(FAULTS, max_size=5))
def test_pushes_in_any_weather(faults: list[Fault]) -> None:
    """No traceback, no tag of an image that is not whole, no progress beyond the total; once it clears up all is well."""
    with tempfile.TemporaryDirectory() as name, running() as (host, content):
        cache, to = Path(name), ImageReference.parse(f"{host}/team/app:v1")
        content.faults = [Fault(**{slot: getattr(fault, slot) for slot in Fault.__slots__}) for fault in faults]
        heard: list[Event] = []
        try:
            client(cache).push(IMAGE, (to,), heard.append)
        except RegistryError as error:
            assert error.message and "\n" not in error.message
        seen = [event for event in heard if isinstance(event, Progress)]
        assert all(event.done <= event.total for event in seen)
        content.faults = []
        if ("team/app", "v1") in content.manifests:
            assert validate.find_image_problems(client(cache).pull(to, "linux/amd64")) == ()
        assert str(client(cache).push(IMAGE, (to,), ignore)) == IMAGE.digest
        assert validate.find_image_problems(client(cache).pull(to, "linux/amd64")) == ()
        assert not list((cache / "uploads").glob("*"))


@settings(max_examples=examples(60))
@given(st.lists(FAULTS, max_size=4))
def test_pulls_in_any_weather(faults: list[Fault]) -> None:
    """Layers come whole or not at all."""
    with tempfile.TemporaryDirectory() as name, running() as (host, content):
        to = ImageReference.parse(f"{host}/team/app:v1")
        client(Path(name)).push(IMAGE, (to,), ignore)
        content.faults = [Fault(**{slot: getattr(fault, slot) for slot in Fault.__slots__}) for fault in faults]
        try:
            pulled = client(Path(name)).pull(to, "linux/amd64")
            for mine, theirs in zip(IMAGE.layers, pulled.layers, strict=True):
                assert theirs.open().read() == mine.open().read()
        except RegistryError as error:
            assert error.message and "\n" not in error.message
