"""A frontend on one host, a processor beside it, and workers on another: the same file is served on both."""

from collections.abc import AsyncIterator

from pydantic import BaseModel

from dynamo.sdk import DYNAMO_IMAGE, api, async_on_start, depends, dynamo_context, dynamo_endpoint, service


class GeneralRequest(BaseModel):
    prompt: str
    request_id: str = "none"


class GeneralResponse(BaseModel):
    request_id: str
    worker_output: str


@service(dynamo={"enabled": True, "namespace": "demo"}, image=DYNAMO_IMAGE)
class Worker:
    """Runs on the second host; `place` tells the answers of several hosts apart."""

    def __init__(self, place: str = "somewhere") -> None:
        self.place = place

    @dynamo_endpoint()
    async def generate(self, request: GeneralRequest) -> AsyncIterator[GeneralResponse]:
        for word in request.prompt.split():
            yield GeneralResponse(request_id=request.request_id, worker_output=f"{word} from {self.place}")


@service(dynamo={"enabled": True, "namespace": "demo"}, image=DYNAMO_IMAGE)
class Processor:
    """Chooses an instance itself, by a client of the worker's address."""

    def __init__(self, routing: str = "round_robin") -> None:
        self.routing = routing

    @async_on_start
    async def connect(self) -> None:
        namespace, name = Worker.dynamo_address()  # type: ignore[attr-defined]
        endpoint = dynamo_context["runtime"].namespace(namespace).component(name).endpoint("generate")
        self.client = await endpoint.client()
        await self.client.wait_for_instances()

    @dynamo_endpoint()
    async def process(self, request: GeneralRequest) -> AsyncIterator[GeneralResponse]:
        if self.routing == "direct":
            answers = await self.client.direct(request, self.client.instance_ids()[0])
        elif self.routing == "random":
            answers = await self.client.random(request)
        else:
            answers = await self.client.round_robin(request)
        async for answer in answers:
            yield GeneralResponse.model_validate(answer.data())


@service(image=DYNAMO_IMAGE)
class Frontend:
    """Answers HTTP."""

    processor = depends(Processor)
    worker = depends(Worker)

    @api
    async def generate(self, prompt: str, request_id: str = "none") -> AsyncIterator[str]:
        async for answer in self.processor.process(GeneralRequest(prompt=prompt, request_id=request_id)):
            yield f"{answer.request_id}: {answer.worker_output}"
