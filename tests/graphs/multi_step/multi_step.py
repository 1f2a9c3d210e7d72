"""A frontend, a processor that chooses an instance, and workers that are called by their address."""

import uuid

from pydantic import BaseModel

from dynamo.sdk import DYNAMO_IMAGE, api, async_on_start, depends, dynamo_context, dynamo_endpoint, service


class GeneralRequest(BaseModel):
    prompt: str = "user input"
    request_id: str = "id_string"


class GeneralResponse(BaseModel):
    worker_output: str = "generated output"
    request_id: str = "id_string"


@service(dynamo={"enabled": True, "namespace": "dynamo-demo"}, resources={"cpu": "1", "memory": "500Mi"}, workers=2)
class DummyWorker:
    def __init__(self) -> None:
        self.name = str(uuid.uuid4())[:8]

    @dynamo_endpoint()
    async def begenerate(self, request: GeneralRequest):
        for part in request.prompt.split():
            answer = GeneralResponse(worker_output=f"{part}_back", request_id=request.request_id)
            yield answer.model_dump_json()


@service(dynamo={"enabled": True, "namespace": "dynamo-demo"}, resources={"cpu": "1", "memory": "500Mi"})
class Processor:
    worker = depends(DummyWorker)

    def __init__(self) -> None:
        self.modes = ("random", "round_robin", "direct")
        self.asked = 0

    @async_on_start
    async def async_init(self) -> None:
        runtime = dynamo_context["runtime"]
        comp_ns, comp_name = DummyWorker.dynamo_address()
        self.worker_client = await runtime.namespace(comp_ns).component(comp_name).endpoint("begenerate").client()

    @dynamo_endpoint()
    async def mdgenerate(self, raw_request: GeneralRequest):
        mode = self.modes[self.asked % len(self.modes)]
        self.asked += 1
        body = raw_request.model_dump_json()
        if mode == "direct":
            instances = self.worker_client.instance_ids()
            answers = await self.worker_client.direct(body, instances[0])
        elif mode == "random":
            answers = await self.worker_client.random(body)
        else:
            answers = await self.worker_client.round_robin(body)
        async for answer in answers:
            yield answer.data()


@service(
    dynamo={"enabled": True, "namespace": "dynamo-demo"}, resources={"cpu": "1", "memory": "500Mi"}, image=DYNAMO_IMAGE
)
class Frontend:
    processor = depends(Processor)

    @api
    async def fegenerate(self, prompt, request_id):
        request = GeneralRequest(prompt=prompt, request_id=request_id)
        async for answer in self.processor.mdgenerate(request.model_dump_json()):
            yield answer
