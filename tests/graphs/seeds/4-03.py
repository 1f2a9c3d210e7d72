from vllm.entrypoints.openai.protocol import ChatCompletionRequest

@dynamo_endpoint(name="my_chat_completions_endpoint")
async def generate(self, request: ChatCompletionRequest):
    # Implementation
    # ...
