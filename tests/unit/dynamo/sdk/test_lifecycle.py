"""Hooks and probes of an instance."""

import pytest

from dynamo.sdk import async_on_shutdown, async_on_start, liveness, on_shutdown, readiness
from dynamo.sdk.lifecycle import find_probes, shutdown_hooks, start_hooks


class Base:
    @async_on_start
    async def first(self): ...

    @async_on_start()
    def replaced(self):
        return "base"


class Child(Base):
    @async_on_start
    async def last(self): ...

    def replaced(self):
        return "child"

    @on_shutdown
    @async_on_start
    async def both(self): ...

    @liveness
    def alive(self):
        return True

    @readiness()
    async def ready(self):
        return True


def test_hooks_run_base_first_in_the_order_of_definition():
    """Several hooks, sync or async; an override takes the place of what it overrides."""
    hooks = start_hooks(Child())
    assert [hook.__name__ for hook in hooks] == ["first", "replaced", "last", "both"]
    assert hooks[1]() == "child"


def test_a_method_can_be_several_hooks():
    """The same method at start and end."""
    assert [hook.__name__ for hook in shutdown_hooks(Child())] == ["both"]


@pytest.mark.parametrize(("kind", "name"), [("liveness", "alive"), ("readiness", "ready")])
def test_probes_are_found_by_kind(kind, name):
    """Bound, ready to be called."""
    assert [probe.__name__ for probe in find_probes(Child(), kind)] == [name]


def test_shutdown_has_two_names():
    """The documents use both."""
    assert on_shutdown is async_on_shutdown
