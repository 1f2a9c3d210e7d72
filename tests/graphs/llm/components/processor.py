"""Parses, tokenises and picks who does the work."""

from components.kv_router import Router
from components.worker import VllmWorker
from transformers import AutoTokenizer
from utils.protocol import ChatCompletionRequest

from dynamo.sdk import async_on_start, depends, dynamo_context, dynamo_endpoint, service


class ProcessMixIn:
    tokenizer: AutoTokenizer


@service(dynamo={"enabled": True, "namespace": "dynamo"}, resources={"cpu": "10", "memory": "20Gi"}, workers=1)
class Processor(ProcessMixIn):
    worker = depends(VllmWorker)
    router = depends(Router)

    @async_on_start
    async def async_init(self):
        runtime = dynamo_context["runtime"]
        comp_ns, comp_name = VllmWorker.dynamo_address()
        self.worker_client = await runtime.namespace(comp_ns).component(comp_name).endpoint("generate").client()

    @dynamo_endpoint(name="chat/completions")
    async def chat_completions(self, raw_request: ChatCompletionRequest):
        async for answer in await self.worker_client.generate(raw_request):
            yield answer.data()
