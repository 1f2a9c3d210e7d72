"""Fills caches for requests it takes from a queue."""

from utils.protocol import PrefillRequest
from vllm.entrypoints.openai.api_server import build_async_engine_client_from_engine_args

from dynamo.sdk import async_on_start, dynamo_endpoint, service


@service(
    dynamo={"enabled": True, "namespace": "dynamo", "custom_lease": {"ttl": 1}},
    resources={"gpu": 1, "cpu": "10", "memory": "20Gi"},
    workers=1,
)
class PrefillWorker:
    def __init__(self):
        self.build = build_async_engine_client_from_engine_args

    @async_on_start
    async def async_init(self):
        self.engine = self.build()

    @dynamo_endpoint()
    async def mock(self, req: PrefillRequest):
        yield f"mock_response: {req}"
