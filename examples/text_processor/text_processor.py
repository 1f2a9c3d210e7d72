"""One worker, without HTTP: others in the graph, or `client.py`, call it by its address."""

import logging

from pydantic import BaseModel

from dynamo.sdk import DYNAMO_IMAGE, async_on_start, dynamo_endpoint, service

logger = logging.getLogger(__name__)


class RequestType(BaseModel):
    text: str


class ResponseType(BaseModel):
    text: str


@service(
    dynamo={
        "enabled": True,
        "namespace": "demo",
    },
    image=DYNAMO_IMAGE,
)
class TextProcessor:
    """Its address is `demo/TextProcessor/generate`."""

    def __init__(self, prefix: str = "Processed") -> None:
        self.prefix = prefix
        self.ready = False

    @async_on_start
    async def load(self) -> None:
        # Where a real worker loads its model: no request arrives before it is done.
        self.ready = True
        logger.info("TextProcessor is ready")

    @dynamo_endpoint()
    async def generate(self, req: RequestType) -> ResponseType:
        """Process the input text."""
        logger.info("Processing text: %s", req.text)
        return ResponseType(text=f"{self.prefix}: {req.text}")
