"""What travels with a call."""

from __future__ import annotations

import os
import time

import pytest

from dynamo.coordination.discovery import Instance, MemoryDiscovery, new_id
from dynamo.rpc import call_context
from dynamo.rpc.memory import MemoryTransport
from dynamo.rpc.runtime import DistributedRuntime
from dynamo.rpc.server import Dispatcher
from dynamo.sdk.errors import Deadline


def test_traces():
    """A trace keeps its id from hop to hop; what is no trace starts a new one."""
    first = call_context.new_trace()
    second = call_context.child_trace(first)
    assert first[:35] == second[:35]
    assert first != second
    assert len(call_context.child_trace("junk")) == 55


def test_ids_differ_after_a_fork():
    """Two workers of one parent never make the same request id."""
    read, write = os.pipe()
    if not (child := os.fork()):
        os.write(write, call_context.new_request_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100).decode() != call_context.new_request_id()
    os.close(read)
    os.close(write)


async def test_through_two_hops():
    """Request id, trace and deadline reach the second hop."""
    transport, discovery = MemoryTransport(), MemoryDiscovery()
    runtime = DistributedRuntime(transport, discovery)
    seen = []

    async def inner():
        seen.append(call_context.current.get())

    async def outer():
        seen.append(call_context.current.get())
        await runtime.service("n", "C", {"inner": "inner"}).inner()

    dispatcher = Dispatcher()
    dispatcher.add_method("n/C/inner", "inner", inner)
    dispatcher.add_method("n/C/outer", "outer", outer)
    serving = await transport.serve(dispatcher)
    await discovery.register(
        Instance(namespace="n", component="C", id=new_id(), address=serving.address, endpoints=("inner", "outer"))
    )
    call_context.current.set(call_context.CallContext(request_id="r", traceparent="00-x", tracestate="vendor=1"))
    await runtime.service("n", "C", {"outer": "outer"}).outer(timeout=5)
    assert [item.request_id for item in seen] == ["r", "r"]
    assert {(item.traceparent, item.tracestate) for item in seen} == {("00-x", "vendor=1")}
    assert all(item.deadline for item in seen)
    assert abs(seen[0].deadline - seen[1].deadline) < 0.5
    call_context.current.set(call_context.CallContext(deadline=0.001))
    with pytest.raises(Deadline):
        await runtime.service("n", "C", {"outer": "outer"}).outer()
    call_context.current.set(None)
    seen.clear()
    runtime.get_callee("n", "C").timeout = 7.0
    await runtime.service("n", "C", {"outer": "outer"}).outer()
    assert len(seen[0].traceparent) == 55
    assert (seen[0].request_id, seen[0].traceparent) == (seen[1].request_id, seen[1].traceparent)
    assert all(0 < item.deadline - time.monotonic() <= 7 for item in seen)
    await runtime.close()
