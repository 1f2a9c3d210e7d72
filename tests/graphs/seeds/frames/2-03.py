from ServiceB import ChatCompletionRequest
from ServiceB import ServiceB as called

from dynamo.sdk import async_on_shutdown, async_on_start, depends, dynamo_endpoint, service

class Engine:
    ended = False

    async def generate(self, request):
        return f"answer to {request.prompt}"

    async def shutdown(self):
        self.ended = True

async def initialize_model_engine(name):
    assert name == "meta-llama/Llama-3.1-8B-Instruct"
    return Engine()

# (block)

runtime = await running(called)
instance = await made(ServiceA, runtime)
assert await instance.generate(ChatCompletionRequest(prompt="hi")) == "answer to HI"
await ended(instance)
assert instance.engine.ended
assert ServiceA.build_spec(".").resources.gpu == "1"
