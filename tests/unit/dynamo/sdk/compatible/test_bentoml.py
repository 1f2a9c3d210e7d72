"""What `bentoml`'s names do in a process that runs."""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading

import pytest

from dynamo.sdk import compatible, lifecycle


@pytest.fixture
def bentoml(monkeypatch):
    """Our module under its name, for this test alone."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "bentoml"}
    compatible.install({compatible.VARIABLE: "bentoml"})
    yield importlib.import_module("bentoml")
    for name in [name for name in sys.modules if name.partition(".")[0] == "bentoml"]:
        del sys.modules[name]
    sys.modules.update(before)


def test_not_without_the_variable(monkeypatch):
    """A worker of another graph finds nothing of ours."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    count = len(sys.meta_path)
    compatible.install({})
    compatible.install({compatible.VARIABLE: "other"})
    assert len(sys.meta_path) == count


def test_alone(bentoml):
    """In a test of the classes alone a dependency is the other service's instance."""

    @bentoml.service
    class Inner:
        @bentoml.api
        def double(self, number: int) -> int:
            return 2 * number

    @bentoml.service
    class Outer:
        inner = bentoml.depends(Inner)
        made: list[str] = []

        @bentoml.on_deployment
        def prepare():
            Outer.made.append("prepared")

        @bentoml.on_startup
        def start(self):
            self.made.append("started")

        @bentoml.on_shutdown
        def stop(self):
            self.made.append("stopped")

        @bentoml.api
        def quadruple(self, number: int) -> int:
            return self.inner.double(self.inner.double(number))

    outer = Outer()
    assert outer.quadruple(3) == 12
    for hook in (*lifecycle.start_hooks(outer), *lifecycle.shutdown_hooks(outer)):
        hook()
    assert Outer.made == ["prepared", "started", "stopped"]


class Sent:
    """A call's answer, as the runtime's client gives it."""

    def __init__(self, items):
        self.items = items
        self.wrap = lambda item: item

    def __await__(self):
        async def value():
            await asyncio.sleep(0)
            return self.wrap(self.items[0])

        return value().__await__()

    async def __aiter__(self):
        for item in self.items:
            await asyncio.sleep(0)
            yield self.wrap(item)


async def test_manners(bentoml):
    """A method is called as it was defined: it waits in a thread, or is awaited; in the loop nothing may wait."""
    calls = sys.modules["bentoml.calls"]
    calls.remember_loop()
    seen = []

    class Inner:
        def split(self, text: str, lower: bool = False) -> list[str]: ...
        async def count(self, words: list[str]) -> int: ...
        def spell(self, word: str):
            yield word

    class Client:
        def __getattr__(self, name):
            def call(*body):
                seen.append((name, body))
                return Sent({"split": [["a", "b"]], "count": ["2"], "spell": ["a", "b"]}[name])

            return call

    callee = calls.Callee(Client(), Inner)
    assert await callee.count(["a"]) == 2
    assert await callee.to_async.split("A b", lower=True) == ["a", "b"]
    assert await asyncio.to_thread(callee.split, "A b") == ["a", "b"]
    assert await asyncio.to_thread(callee.to_sync.count, ["a"]) == 2
    assert await asyncio.to_thread(lambda: list(callee.spell("ab"))) == ["a", "b"]
    assert seen[:3] == [
        ("count", (["a"],)),
        ("split", ({"text": "A b", "lower": True},)),
        ("split", ({"text": "A b"},)),
    ]
    with pytest.raises(RuntimeError, match=r"to_async\.split"):
        callee.split("A b")
    with pytest.raises(TypeError, match="missing a required argument"):
        callee.to_async.split(words=1)
    assert threading.current_thread() is threading.main_thread()
