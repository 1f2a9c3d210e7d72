"""Chooses a worker by the blocks that it holds and the work that it has."""

import logging
from collections.abc import AsyncIterator

from components.worker import VllmWorker
from pydantic import BaseModel

from dynamo.llm import EngineRequest, EngineStep, routed
from dynamo.sdk import DYNAMO_IMAGE, async_on_shutdown, async_on_start, depends, dynamo_endpoint, service
from dynamo.sdk.lib.config import ServiceConfig

logger = logging.getLogger(__name__)


class Tokens(BaseModel):
    tokens: list[int]


@service(
    dynamo={"enabled": True, "namespace": "dynamo"},
    resources={"cpu": "2", "memory": "2Gi"},
    workers=1,
    image=DYNAMO_IMAGE,
)
class Router:
    """Several of it agree: they tell each other what they sent where."""

    worker = depends(VllmWorker)

    @async_on_start
    async def start(self) -> None:
        config = ServiceConfig.get_instance().get_parsed_config("Router")
        self.client = await routed("Router", VllmWorker.dynamo_address())
        while not await self.client.service.ready(int(config.get("min-workers", 1))):
            logger.info("waiting for workers")

    @async_on_shutdown
    async def stop(self) -> None:
        await self.client.service.close()

    @dynamo_endpoint()
    async def generate(self, request: EngineRequest) -> AsyncIterator[EngineStep]:
        """The answer of the worker that was chosen; of another one when that is lost."""
        return self.client.generate(request)

    @dynamo_endpoint()
    async def choose(self, request: Tokens) -> str:
        """`<worker>_<hit rate>`, and nothing is sent there."""
        decision = self.client.service.route("choose", request.tokens)
        self.client.service.finished("choose")
        return str(decision)
