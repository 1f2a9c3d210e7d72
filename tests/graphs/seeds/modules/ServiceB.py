from pydantic import BaseModel

from dynamo.sdk import dynamo_endpoint, service


class ChatCompletionRequest(BaseModel):
    prompt: str


@service(dynamo={"enabled": True, "namespace": "dynamo"})
class ServiceB:
    @dynamo_endpoint()
    async def preprocess(self, request: ChatCompletionRequest):
        return ChatCompletionRequest(prompt=request.prompt.upper())
