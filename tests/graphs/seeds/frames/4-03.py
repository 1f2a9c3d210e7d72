import sys
import types

from pydantic import BaseModel

from dynamo.sdk import dynamo_endpoint, service

class ChatCompletionRequest(BaseModel):
    model: str

for name in ("vllm", "vllm.entrypoints", "vllm.entrypoints.openai", "vllm.entrypoints.openai.protocol"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["vllm.entrypoints.openai.protocol"].ChatCompletionRequest = ChatCompletionRequest

@service
class Worker:
    # (block)
        return f"answer of {request.model}"

runtime = await running(Worker)
client = await runtime.namespace("default").component("Worker").endpoint("my_chat_completions_endpoint").client()
assert await client.generate(ChatCompletionRequest(model="m")) == "answer of m"
