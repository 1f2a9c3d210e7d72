"""One request to several services at once, and one answer made of theirs."""

import asyncio
from collections.abc import AsyncIterator

from pydantic import BaseModel

from dynamo.sdk import DYNAMO_IMAGE, api, depends, dynamo_endpoint, service
from dynamo.sdk.errors import Unavailable


class Text(BaseModel):
    text: str


class Finding(BaseModel):
    by: str
    found: str


@service(dynamo={"enabled": True, "namespace": "fan-out"}, image=DYNAMO_IMAGE)
class Counter:
    @dynamo_endpoint()
    async def look(self, request: Text) -> Finding:
        return Finding(by="Counter", found=f"{len(request.text.split())} words")


@service(dynamo={"enabled": True, "namespace": "fan-out"}, workers=2, image=DYNAMO_IMAGE)
class Speller:
    def __init__(self, known: str = "hello world") -> None:
        self.known = frozenset(known.split())

    @dynamo_endpoint()
    async def look(self, request: Text) -> Finding:
        strange = [word for word in request.text.split() if word.lower() not in self.known]
        return Finding(by="Speller", found=f"unknown: {', '.join(strange) or 'none'}")


@service(dynamo={"enabled": True, "namespace": "fan-out"}, image=DYNAMO_IMAGE)
class Reverser:
    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    @dynamo_endpoint()
    async def look(self, request: Text) -> Finding:
        await asyncio.sleep(self.seconds)
        return Finding(by="Reverser", found=request.text[::-1])


@service(traffic={"timeout": 30}, image=DYNAMO_IMAGE)
class Frontend:
    counter = depends(Counter)
    speller = depends(Speller)
    reverser = depends(Reverser)

    @api
    async def all(self, text: str) -> list[Finding]:
        """All findings at once, in the order of the services."""
        request = Text(text=text)
        return list(
            await asyncio.gather(
                self.counter.look(request),
                self.speller.look(request),
                self.reverser.look(request),
            )
        )

    @api
    async def each(self, text: str) -> AsyncIterator[Finding]:
        """Each finding as soon as it is there; a service that is away is a finding too."""
        request = Text(text=text)
        calls = [
            asyncio.ensure_future(asked)
            for asked in (self.counter.look(request), self.speller.look(request), self.reverser.look(request))
        ]
        for finished in asyncio.as_completed(calls):
            try:
                yield await finished
            except Unavailable as error:
                yield Finding(by="nobody", found=error.message)
