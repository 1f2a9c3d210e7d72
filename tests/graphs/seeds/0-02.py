from pydantic import BaseModel
from dynamo.sdk import DYNAMO_IMAGE, api, depends, dynamo_endpoint, service

class RequestType(BaseModel):
    text: str

class ResponseType(BaseModel):
    text: str

@service(
    resources={"cpu": "2"},
    dynamo={
        "enabled": True,
        "namespace": "inference",
    },
    workers=3,
    image=DYNAMO_IMAGE,
)
class Backend:
    def __init__(self) -> None:
        print("Init tasks...")

    @dynamo_endpoint()
    async def generate(self, req: RequestType):
        for token in req.text.split():
            yield f"Echo: {token}"

@service(
    resources={"cpu": "1"},
    traffic={"timeout": 60},
    image=DYNAMO_IMAGE,
)
class Frontend:
    backend = depends(Backend)

    @api
    async def generate(self, text):
        txt = RequestType(text=text)
        async for response in self.backend.generate(txt.model_dump_json()):
            yield response
