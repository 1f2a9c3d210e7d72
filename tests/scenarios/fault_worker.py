"""A worker process for fault tests: `python -m scenarios.fault_worker COMPONENT [TURNS]`.

It prints `ADDRESS ID` when it can be called. `unary` answers with what it is asked, `stream` counts up slowly, `flood`
as fast as it can, `hang` never answers.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys

import uvloop

from dynamo.coordination.discovery import Instance, new_id
from dynamo.messages import naming
from dynamo.rpc.runtime import connect
from dynamo.rpc.server import Dispatcher
from dynamo.sdk.errors import RemoteError

NAMESPACE = "faults"


class Service:
    """What is called."""

    async def unary(self, number: int):
        await asyncio.sleep(0.002)
        return [number, os.getpid()]

    async def stream(self, count: int, pause: float = 0.005):
        for number in range(count):
            yield number
            await asyncio.sleep(pause)

    async def flood(self, size: int):
        while True:
            yield b"x" * size

    async def hang(self):
        await asyncio.sleep(3600)

    async def usage(self):
        """Memory in KiB at its highest and now, and open files."""
        with open("/proc/self/statm") as file:
            now = int(file.read().split()[1]) * resource.getpagesize() // 1024
        highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"highest": highest, "now": now, "files": len(os.listdir("/proc/self/fd"))}


async def main(component: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with await connect() as runtime:
        dispatcher, service = Dispatcher(), Service()
        names = [name for name in vars(Service) if not name.startswith("_")]
        for name in names:
            dispatcher.add_method(naming.format_path(NAMESPACE, component, name), name, getattr(service, name))
        serving = await runtime.transport.serve(dispatcher)
        instance = Instance(
            namespace=NAMESPACE, component=component, id=new_id(), address=serving.address, endpoints=tuple(names)
        )
        lease = await runtime.discovery.register(instance)
        print(serving.address, instance.id, flush=True)
        await stop.wait()
        await lease.close()
        await serving.drain(10)


if __name__ == "__main__":
    try:
        uvloop.run(main(sys.argv[1]))
    except RemoteError as error:
        print(error.message, file=sys.stderr)
        sys.exit(17)
