from dynamo.sdk import depends, dynamo_endpoint, service

@service(dynamo={"enabled": True})
class VllmWorker:
    @dynamo_endpoint()
    async def generate(self, request: dict):
        yield request

@service(dynamo={"enabled": True})
class Router:
    @dynamo_endpoint()
    async def route(self, request: dict):
        yield request

@service
class Processor:
    worker = depends(VllmWorker)
    router = depends(Router)

# (block)

assert graph_of("Processor").names == ("Router", "Processor")
