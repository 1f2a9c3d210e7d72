"""Two services that implement the interface, and one that both of them may ask."""

from collections.abc import AsyncIterator

from greeting import Greeter, Guest

from dynamo.sdk import DYNAMO_IMAGE, depends, dynamo_endpoint, service


@service(dynamo={"enabled": True, "namespace": "hall"}, image=DYNAMO_IMAGE)
class Titles:
    def __init__(self, title: str = "Dr.") -> None:
        self.title = title

    @dynamo_endpoint()
    async def titled(self, guest: Guest) -> Guest:
        return Guest(name=f"{self.title} {guest.name}")


@service(dynamo={"enabled": True, "namespace": "hall"}, image=DYNAMO_IMAGE)
class English(Greeter):
    @dynamo_endpoint()
    async def greet(self, guest: Guest) -> AsyncIterator[str]:
        yield "Hello"
        yield guest.name


@service(dynamo={"enabled": True, "namespace": "hall"}, image=DYNAMO_IMAGE)
class German(Greeter):
    titles = depends(Titles)

    @dynamo_endpoint()
    async def greet(self, guest: Guest) -> AsyncIterator[str]:
        yield "Guten Tag"
        yield (await self.titles.titled(guest)).name
