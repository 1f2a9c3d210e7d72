"""Decodes, or serves whole requests."""

from components.prefill_worker import PrefillWorker
from utils.protocol import PreprocessedRequest
from utils.vllm import parse_vllm_args

from dynamo.sdk import async_on_start, depends, dynamo_endpoint, on_shutdown, service


@service(
    dynamo={"enabled": True, "namespace": "dynamo"},
    resources={"gpu": 1, "cpu": "10", "memory": "20Gi"},
    workers=1,
)
class VllmWorker:
    prefill_worker = depends(PrefillWorker)

    def __init__(self):
        self.engine_args = parse_vllm_args(self.__class__.__name__, "")

    @async_on_start
    async def async_init(self):
        self.ready = True

    @on_shutdown
    async def shutdown(self):
        self.ready = False

    @dynamo_endpoint()
    async def generate(self, request: PreprocessedRequest):
        yield request.model_dump_json()
