"""A service for the test of rolling restarts, run by the real worker."""

from __future__ import annotations

import asyncio

from dynamo.sdk import endpoint, service


@service(dynamo={"namespace": "faults"})
class C:
    """Answers and counts, as the workers of other fault tests do."""

    @endpoint()
    async def unary(self, number: int):
        await asyncio.sleep(0.002)
        return [number, 0]

    @endpoint()
    async def stream(self, count: int, pause: float = 0.005):
        for number in range(count):
            yield number
            await asyncio.sleep(pause)
