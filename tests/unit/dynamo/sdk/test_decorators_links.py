"""`.link()`: which edges a graph keeps."""

from __future__ import annotations

import pytest

from dynamo.sdk import AbstractService, abstract_endpoint, depends, dynamo_endpoint, service
from dynamo.sdk.decorators import Service
from dynamo.sdk.describe.assemble import assemble_graph


class Picker(AbstractService):
    """What picks."""

    @abstract_endpoint
    async def pick(self, request: dict): ...


def made() -> tuple[Service, Service, Service, Service]:
    """Front → Processor → (Worker, Router → Worker), Worker → Prefill."""

    @service(dynamo={"enabled": True})
    class Prefill:
        @dynamo_endpoint
        async def run(self, request: dict): ...

    @service(dynamo={"enabled": True})
    class Worker:
        prefill = depends(Prefill)

        @dynamo_endpoint
        async def run(self, request: dict): ...

    @service(dynamo={"enabled": True})
    class Router(Picker):
        worker = depends(Worker)

        @dynamo_endpoint
        async def pick(self, request: dict): ...

    @service(dynamo={"enabled": True})
    class Processor:
        worker = depends(Worker)
        router = depends(Router)

        @dynamo_endpoint
        async def run(self, request: dict): ...

    return Processor, Router, Worker, Prefill


def found(entry: Service) -> dict[str, list[str]]:
    """The callees of each service that is left; the class is local to a function, which is the one thing wrong."""
    for each in made_of(entry):
        each.inner.__qualname__ = each.inner.__name__
    discovery = assemble_graph("m:S", entry, ".", frozenset(), ())
    assert discovery.graph is not None, discovery.problems
    return {spec.name: [edge.service for edge in spec.edges] for spec in discovery.graph.services}


def made_of(entry: Service) -> list[Service]:
    below = [item.on for item in entry.dependencies.values() if isinstance(item.on, Service)]
    below += [callee for callee, _ in entry.links]
    return [entry, *(each for callee in below for each in made_of(callee))]


def test_without_links_every_dependency_stays():
    """The maximal graph."""
    processor, *_ = made()
    assert found(processor) == {
        "Prefill": [],
        "Worker": ["Prefill"],
        "Router": ["Worker"],
        "Processor": ["Worker", "Router"],
    }


def test_one_link_drops_the_other_edges_of_the_linking_service_alone():
    """`Processor.link(Router)` removes Processor's worker; what Router depends on stays."""
    processor, router, *_ = made()
    assert processor.link(router) is router
    assert found(processor) == {
        "Prefill": [],
        "Worker": ["Prefill"],
        "Router": ["Worker"],
        "Processor": ["Router"],
    }


def test_a_chain_keeps_what_is_linked_to_its_end():
    """In A.link(B).link(C) also C keeps linked edges only: there are none."""
    processor, router, worker, _ = made()
    processor.link(router).link(worker)
    assert found(processor) == {"Worker": [], "Router": ["Worker"], "Processor": ["Router"]}


def test_a_chain_in_two_statements_is_the_same():
    """In whatever order they stand."""
    processor, router, worker, _ = made()
    router.link(worker)
    processor.link(router)
    assert found(processor) == {"Worker": [], "Router": ["Worker"], "Processor": ["Router"]}


def test_services_outside_a_chain_keep_every_dependency():
    """Links below or beside a service do not change it."""
    processor, _, worker, prefill = made()
    worker.link(prefill)
    assert found(processor)["Processor"] == ["Worker", "Router"]
    assert found(processor)["Worker"] == ["Prefill"]


def test_linking_twice_is_linking_once():
    """The second time changes nothing."""
    processor, router, *_ = made()
    processor.link(router)
    processor.link(router)
    assert found(processor)["Processor"] == ["Router"]


def test_an_abstract_dependency_is_swapped():
    """The service that implements the interface takes its place; its own dependencies stay."""
    _, router, *_ = made()

    @service
    class Front:
        picker = depends(Picker)

        @dynamo_endpoint
        async def run(self, request: dict): ...

    Front._options.values["dynamo"] = True
    Front.link(router)
    assert found(Front) == {"Prefill": [], "Worker": ["Prefill"], "Router": ["Worker"], "Front": ["Router"]}


def test_what_is_no_service_cannot_be_linked():
    """The message names both."""
    processor, *_ = made()
    with pytest.raises(TypeError, match=r"`Processor\.link` takes a service, not 3"):
        processor.link(3)


def test_a_link_that_fits_two_interfaces_is_named():
    """Nobody can know which was meant."""
    _, router, *_ = made()

    @service(dynamo={"enabled": True})
    class Front:
        one = depends(Picker)
        two = depends(Picker)

        @dynamo_endpoint
        async def run(self, request: dict): ...

    Front.link(router)
    for each in made_of(Front):
        each.inner.__qualname__ = each.inner.__name__
    (problem,) = assemble_graph("m:S", Front, ".", frozenset(), ()).problems
    assert problem.message == "`Front.link(Router)` fits more than one dependency (one, two) of `Front`"
