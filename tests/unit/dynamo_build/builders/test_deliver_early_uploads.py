"""Layers that go before their image."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from dynamo_build import catalog
from dynamo_build.builders.deliver import EarlyUploads
from dynamo_build.errors import RegistryError
from dynamo_build.events import Event, LayerPushed, Listener, ignore
from dynamo_build.image.plan_image import plan_image
from dynamo_build.model.image import ImagePlan, ToFolder, ToRegistry
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci.layer import Entry, Layer
from dynamo_build.seams import Surroundings
from support import handmade
from support.registry import running

TO = ToRegistry(references=(ImageReference.parse("127.0.0.1:5000/x:1"),))
PLAN = ImagePlan(name="x", version="1", bento="", services=(), base=ImageReference.parse("b:1"), layers=())


class Taking:
    """A registry that takes layers when it may."""

    def __init__(self, failure: str = "") -> None:
        self.taken: list[str] = []
        self.may = threading.Event()
        self._failure = failure

    def prepare(self, layer: Layer, to: ImageReference, on: Listener) -> None:
        assert self.may.wait(10)
        if self._failure:
            raise RegistryError(self._failure)
        self.taken.append(layer.digest)
        on(LayerPushed(digest=layer.digest, how="sent"))


def around(registry: Taking) -> Surroundings:
    return Surroundings(environment={}, cache=Path("/nonexistent"), registry=lambda _: cast(Any, registry))


def some(number: int) -> Layer:
    return handmade.packed([Entry(path="a", content=b"%d" % number)], "a")


def test_sending_does_not_hold_up_making() -> None:
    """A layer is taken note of at once; how each came there is told in the end."""
    registry, heard = Taking(), list[Event]()
    with EarlyUploads(PLAN, TO, around(registry), heard.append) as ahead:
        layers = [some(number) for number in range(5)]
        for each in layers:
            ahead.start_upload(each)
        assert registry.taken == []
        registry.may.set()
        assert ahead.wait_for_uploads() == {each.digest: True for each in layers}
    assert heard == []


def test_a_failure_is_told_in_the_end() -> None:
    """Not in the thread that makes layers."""
    registry = Taking("no room")
    registry.may.set()
    with EarlyUploads(PLAN, TO, around(registry), ignore) as ahead:
        ahead.start_upload(some(1))
        with pytest.raises(RegistryError, match="no room"):
            ahead.wait_for_uploads()


def test_a_failure_of_ours_waits_for_no_upload() -> None:
    """What is on its way may take long; the error is told at once."""
    registry = Taking()
    with pytest.raises(KeyboardInterrupt), EarlyUploads(PLAN, TO, around(registry), ignore) as ahead:
        ahead.start_upload(some(1))
        raise KeyboardInterrupt
    assert registry.taken == []
    registry.may.set()


@pytest.mark.parametrize(
    ("plan", "to"),
    [(PLAN, ToFolder(folder="x", tag="1")), (replace(PLAN, budget=10**9), TO)],
    ids=["to a folder", "within a budget"],
)
def test_what_may_not_leave_stays(plan: ImagePlan, to: Any) -> None:
    """An image that may be too large, or goes elsewhere."""
    registry = Taking()
    with EarlyUploads(plan, to, around(registry), ignore) as ahead:
        ahead.start_upload(some(1))
        assert ahead.wait_for_uploads() == {}
    assert registry.taken == []


def test_a_built_image_says_what_was_sent(tmp_path: Path) -> None:
    """Sent ahead is sent; a second build sends nothing."""
    with running() as (address, _):
        to = ToRegistry(references=(ImageReference.parse(f"{address}/x:1"),))
        surroundings = catalog.default_surroundings(dict(os.environ), tmp_path / "cache")
        plan = plan_image(handmade.bento(tmp_path / "bento"), handmade.base_folder(tmp_path / "base"), "linux/amd64")
        builder = catalog.find_builder("oci", surroundings)
        first, second = builder.build(plan, to, ignore), builder.build(plan, to, ignore)
        assert [built.sent for built in first.layers] == [True] * len(first.layers)
        assert [built.sent for built in second.layers] == [False] * len(first.layers)
        assert first.digest == second.digest
