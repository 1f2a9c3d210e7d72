from dynamo.sdk import dynamo_endpoint, service

@service
class Worker:
    async def some_async_operation(self):
        return "done"

    # (block)
        return result

runtime = await running(Worker)
client = await runtime.namespace("default").component("Worker").endpoint("generate").client()
assert await client.generate({}) == "done"
