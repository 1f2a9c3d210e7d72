"""Watches: who is there, and who is not."""

from __future__ import annotations

import time

from dynamo.coordination.discovery import ASIDE_SECONDS, Instance, MemoryDiscovery, Watch


def instance(number: int, *endpoints: str) -> Instance:
    return Instance(namespace="n", component="c", id=number, address="", endpoints=endpoints or ("e",))


async def test_register_and_withdraw():
    """A watch holds what was there before it and what came later, until it is withdrawn."""
    discovery = MemoryDiscovery()
    first = await discovery.register(instance(1))
    watch = await discovery.watch("n", "c")
    await discovery.register(instance(2, "other"))
    assert [item.id for item in watch.list_instances()] == [1, 2]
    assert [item.id for item in watch.list_instances("other")] == [2]
    await first.close()
    assert [item.id for item in watch.list_instances()] == [2]
    assert await discovery.watch("n", "nobody") is not None


async def test_leases_run_out():
    """An instance that is not heard of any more is forgotten."""
    now = [0.0]
    watch = Watch(lambda _: None, lambda: now[0], lease=4)
    watch.record_instance(instance(1))
    now[0] = 3
    watch.record_instance(instance(2))
    assert len(watch.list_instances()) == 2
    now[0] = 5
    assert [item.id for item in watch.list_instances()] == [2]


async def test_set_aside(monkeypatch):
    """An instance that could not be reached is left out for a little, even when it is heard of."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watch = Watch(lambda _: None, lambda: now[0])
    watch.record_instance(instance(1))
    watch.set_aside(1)
    watch.record_instance(instance(1))
    assert watch.list_instances() == []
    now[0] = ASIDE_SECONDS + 0.1
    assert len(watch.list_instances()) == 1


async def test_set_aside_until_it_is_seen(monkeypatch):
    """Where there are leases it has to be heard of again, unless nobody can be heard because the broker is away."""
    now, beating = [0.0], [True]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watch = Watch(lambda _: None, lambda: now[0], lease=4, beating=lambda: beating[0])
    watch.record_instance(instance(1))
    watch.record_instance(instance(2))
    watch.set_aside(1)
    now[0] = 2.0
    assert [item.id for item in watch.list_instances()] == [2]
    watch.record_instance(instance(1))
    now[0] = 2.1
    assert [item.id for item in watch.list_instances()] == [1, 2]
    watch.set_aside(2)
    now[0] = 3.0
    assert [item.id for item in watch.list_instances()] == [1]
    beating[0] = False
    now[0] = 3.1
    assert [item.id for item in watch.list_instances()] == [1, 2]


async def test_changed():
    """Waiting ends with the first change, or with the time."""
    watch = Watch(lambda _: None, lambda: 0.0)
    assert not await watch.wait_for_change(0.01)
