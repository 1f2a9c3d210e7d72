"""Chooses a worker by the blocks it has cached."""

from components.worker import VllmWorker
from utils.protocol import Tokens

from dynamo.sdk import async_on_start, depends, dynamo_context, dynamo_endpoint, service


@service(dynamo={"enabled": True, "namespace": "dynamo"}, resources={"cpu": "10", "memory": "20Gi"}, workers=1)
class Router:
    worker = depends(VllmWorker)

    def __init__(self):
        self.default = {"gpu_cache_usage_perc": 0.0}

    @async_on_start
    async def async_init(self):
        self.runtime = dynamo_context["runtime"]

    @dynamo_endpoint()
    async def generate(self, request: Tokens):
        yield f"{request.tokens[0]}_0.0"
