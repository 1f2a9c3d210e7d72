"""The hello world of the SDK's first users, in shape: str parameters, SDK hooks, configuration by ServiceConfig."""

import logging

from pydantic import BaseModel

from dynamo.sdk import DYNAMO_IMAGE, api, depends, endpoint, on_shutdown, service
from dynamo.sdk.lib.config import ServiceConfig

logger = logging.getLogger(__name__)


class RequestType(BaseModel):
    text: str


class ResponseType(BaseModel):
    text: str


@service(
    dynamo={"enabled": True, "namespace": "inference"},
    resources={"cpu": 1, "memory": "500Mi"},
    workers=1,
    image=DYNAMO_IMAGE,
)
class Backend:
    def __init__(self) -> None:
        config = ServiceConfig.get_instance()
        self.message = config.get("Backend", {}).get("message", "back")

    @endpoint()
    async def generate(self, req: RequestType):
        req_text = req.text
        text = f"{req_text}-{self.message}"
        for token in text.split():
            yield f"Backend: {token}"

    @on_shutdown
    def shutdown(self):
        logger.info("Backend shutting down")


@service(
    dynamo={"namespace": "inference"},
    resources={"cpu": 1, "memory": "500Mi"},
    workers=1,
    image=DYNAMO_IMAGE,
)
class Middle:
    backend = depends(Backend)

    def __init__(self) -> None:
        config = ServiceConfig.get_instance()
        self.message = config.get("Middle", {}).get("message", "mid")

    @endpoint()
    async def generate(self, req: RequestType):
        next_request = RequestType(text=f"{req.text}-{self.message}").model_dump_json()
        async for response in self.backend.generate(next_request):
            yield f"Middle: {response}"


@service(
    dynamo={"namespace": "inference"},
    resources={"cpu": 1, "memory": "500Mi"},
    workers=1,
    image=DYNAMO_IMAGE,
)
class Frontend:
    middle = depends(Middle)

    def __init__(self) -> None:
        config = ServiceConfig.get_instance()
        self.message = config.get("Frontend", {}).get("message", "front")
        self.port = config.get("Frontend", {}).get("port", 8000)

    @api()
    async def generate(self, request: RequestType):
        async for response in self.middle.generate(request.model_dump_json()):
            yield f"Frontend: {response}"
