"""Connecting to a running graph: what the environment decides."""

from __future__ import annotations

import socket

import pytest

from dynamo.rpc.runtime import connect
from dynamo.rpc.server import Dispatcher
from dynamo.sdk.errors import BadRequest
from support.nats import nats_server


async def test_a_worker_listens_where_the_environment_says():
    """Address and port as a pod sets them; without them any free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with nats_server() as server:
        given = {
            "NATS_SERVER": server.url,
            "DYNAMO_TRANSPORT_TOKEN": "t",
            "DYNAMO_TRANSPORT_HOST": "127.0.0.1",
            "DYNAMO_TRANSPORT_PORT": str(port),
        }
        async with await connect(given) as runtime:
            serving = await runtime.transport.serve(Dispatcher())
            assert serving.address == f"tcp://127.0.0.1:{port}"
            await serving.drain(0)
        async with await connect({**given, "DYNAMO_TRANSPORT_PORT": ""}) as runtime:
            serving = await runtime.transport.serve(Dispatcher())
            assert serving.address != f"tcp://127.0.0.1:{port}"
            await serving.drain(0)


@pytest.mark.parametrize("text", ["rpc", "-1", "65536", "٣"])
async def test_a_port_that_is_none(text):
    """Is refused before anything is asked."""
    with pytest.raises(BadRequest, match="DYNAMO_TRANSPORT_PORT"):
        await connect({"NATS_SERVER": "nats://127.0.0.1:1", "DYNAMO_TRANSPORT_PORT": text})


@pytest.mark.parametrize("text", ["soon", "-1", "nan"])
async def test_a_default_deadline_that_is_none(text):
    """Is refused before anything is asked."""
    with pytest.raises(BadRequest, match="DYNAMO_CALL_TIMEOUT"):
        await connect({"NATS_SERVER": "nats://127.0.0.1:1", "DYNAMO_CALL_TIMEOUT": text})
