"""An interface, and a service that knows nothing but it."""

from collections.abc import AsyncIterator

from pydantic import BaseModel

from dynamo.sdk import DYNAMO_IMAGE, AbstractService, abstract_endpoint, api, depends, service


class Guest(BaseModel):
    name: str


class Greeter(AbstractService):
    """Greets a guest, word by word."""

    @abstract_endpoint
    async def greet(self, guest: Guest) -> AsyncIterator[str]:
        """What is said to the guest."""
        yield ""


@service(image=DYNAMO_IMAGE)
class Frontend:
    """Which greeter stands behind it is said by a link, in the files of `graphs`."""

    greeter = depends(Greeter)

    @api
    async def welcome(self, name: str) -> AsyncIterator[str]:
        async for word in self.greeter.greet(Guest(name=name)):
            yield word
