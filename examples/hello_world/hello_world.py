"""Three services in a row: each adds its part to the words it is given."""

from collections.abc import AsyncIterator

from pydantic import BaseModel

from dynamo.sdk import DYNAMO_IMAGE, api, depends, dynamo_endpoint, service
from dynamo.sdk.lib.config import ServiceConfig


class RequestType(BaseModel):
    text: str


@service(
    dynamo={"enabled": True, "namespace": "inference"},
    resources={"cpu": "1", "memory": "500Mi"},
    workers=1,
    image=DYNAMO_IMAGE,
)
class Backend:
    """The last of the three: answers word by word."""

    def __init__(self, message: str = "back") -> None:
        self.message = message

    @dynamo_endpoint()
    async def generate(self, request: RequestType) -> AsyncIterator[str]:
        for word in f"{request.text}-{self.message}".split():
            yield f"Backend: {word}"


@service(
    dynamo={"enabled": True, "namespace": "inference"},
    resources={"cpu": "1", "memory": "500Mi"},
    image=DYNAMO_IMAGE,
)
class Middle:
    """Passes on what it gets, and marks what comes back."""

    backend = depends(Backend)

    def __init__(self, message: str = "mid") -> None:
        self.message = message

    @dynamo_endpoint()
    async def generate(self, request: RequestType) -> AsyncIterator[str]:
        following = RequestType(text=f"{request.text}-{self.message}")
        async for answer in self.backend.generate(following):
            yield f"Middle: {answer}"


@service(
    dynamo={"enabled": True, "namespace": "inference"},
    resources={"cpu": "1", "memory": "500Mi"},
    image=DYNAMO_IMAGE,
)
class Frontend:
    """Answers HTTP: `POST /generate` with `{"text": …}`, as one line for each word."""

    middle = depends(Middle)

    def __init__(self) -> None:
        # A key of config.yaml that is no parameter; `dynamo serve … --Frontend.message=Hello` changes it.
        self.message = ServiceConfig.get_instance().get("Frontend", {}).get("message", "Frontend")

    @api
    async def generate(self, text: str) -> AsyncIterator[str]:
        async for answer in self.middle.generate(RequestType(text=text)):
            yield f"{self.message}: {answer}"
