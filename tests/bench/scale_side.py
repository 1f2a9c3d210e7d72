"""A worker process of bench_scale: `scale_side.py instances COUNT`, or `scale_side.py simulated COUNT` for entries only."""

from __future__ import annotations

import asyncio
import os
import sys
import time

import uvloop

from dynamo.coordination.discovery import HEARTBEAT_SECONDS, Instance, new_id
from dynamo.messages import naming
from dynamo.rpc.runtime import connect
from dynamo.rpc.server import Dispatcher

NAMES = ("echo", "stream")


async def echo(data):
    return data


async def stream(request):
    for number in range(request["count"]):
        yield number
        await asyncio.sleep(request["pause"])


async def instances(count: int) -> None:
    """So many instances with a socket and a lease each."""
    async with await connect({**os.environ, "DYNAMO_TRANSPORT_TOKEN": "shared"}) as runtime:
        for _ in range(count):
            dispatcher = Dispatcher()
            for name, function in (("echo", echo), ("stream", stream)):
                dispatcher.add_method(naming.format_path("bench", "Scale", name), name, function)
            serving = await runtime.transport.serve(dispatcher)
            await runtime.discovery.register(
                Instance(namespace="bench", component="Scale", id=new_id(), address=serving.address, endpoints=NAMES)
            )
        print("ready", flush=True)
        await asyncio.Event().wait()


async def simulated(count: int) -> None:
    """So many entries, kept by heartbeats as workers keep theirs, spread over the second."""
    async with await connect({**os.environ, "DYNAMO_TRANSPORT_TOKEN": "shared"}) as runtime:
        made = [
            Instance(
                namespace="bench", component="Simulated", id=new_id(), address=f"tcp://10.0.0.1:{n}", endpoints=NAMES
            )
            for n in range(count)
        ]
        await runtime.discovery.write_instance(made[0])  # makes the bucket
        first = True
        while True:
            begun = time.monotonic()
            for start in range(0, count, 100):
                for instance in made[start : start + 100]:
                    await runtime.discovery.send_heartbeat(instance)
                await asyncio.sleep(max(0.0, begun + HEARTBEAT_SECONDS * start / count - time.monotonic()))
            if first:
                print("ready", flush=True)
                first = False
            await asyncio.sleep(max(0.0, begun + HEARTBEAT_SECONDS - time.monotonic()))


if __name__ == "__main__":
    uvloop.run({"instances": instances, "simulated": simulated}[sys.argv[1]](int(sys.argv[2])))
