from dynamo.sdk import depends, dynamo_endpoint, service

@service
class Backend:
    @dynamo_endpoint()
    async def generate(self, text: str):
        yield f"Echo: {text}"

# (block)

@service
class Frontend:
    backend = backend

runtime = await running(Backend)
instance = await made(Frontend, runtime)
assert [item async for item in instance.backend.generate("a")] == ["Echo: a"]
