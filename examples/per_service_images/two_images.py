"""Two services in an image each: `Counter` runs over a base of its own, which `--base Counter=REF` names."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic import BaseModel

from dynamo.sdk import DYNAMO_IMAGE, api, depends, dynamo_endpoint, service


class Text(BaseModel):
    text: str


@service(dynamo={"enabled": True, "namespace": "images"}, resources={"cpu": "1"}, image=DYNAMO_IMAGE)
class Counter:
    """Counts the letters of each word; in earnest it would be what needs a GPU, or a library of the system's."""

    @dynamo_endpoint()
    async def count(self, request: Text) -> AsyncIterator[str]:
        for word in request.text.split():
            yield f"{word} {len(word)}"


@service(dynamo={"enabled": True, "namespace": "images"}, resources={"cpu": "1"}, image=DYNAMO_IMAGE)
class Frontend:
    """Answers HTTP: `POST /count` with `{"text": …}`, as one line for each word."""

    counter = depends(Counter)

    @api
    async def count(self, text: str) -> AsyncIterator[str]:
        async for line in self.counter.count(Text(text=text)):
            yield line
