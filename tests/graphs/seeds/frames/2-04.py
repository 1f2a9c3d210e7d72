from dynamo.sdk import depends as sdk_depends
from dynamo.sdk import dynamo_endpoint, service

@service(dynamo={"enabled": True, "namespace": "dynamo"})
class ServiceB:
    @dynamo_endpoint()
    async def preprocess(self, request: dict):
        return {**request, "seen": True}

data = {"text": "a"}
runtime = await running(ServiceB)

def depends(service):
    """In the body of a class, `depends` is a client once the service runs: the block has no class around it."""
    return runtime.service("dynamo", service.name, {"preprocess": "preprocess"})

# (block)

assert result["seen"] is True

@service
class ServiceA:
    service_b = sdk_depends(ServiceB)

assert (await (await made(ServiceA, runtime)).service_b.preprocess(data))["seen"] is True
