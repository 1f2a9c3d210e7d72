from dynamo.sdk import depends, dynamo_endpoint, service

class ProcessMixIn:
    pass

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

# (block)

Processor = service(Processor)
assert {edge.attribute: edge.service for edge in graph_of("Processor").service("Processor").edges} == {
    "worker": "VllmWorker",
    "router": "Router",
}
