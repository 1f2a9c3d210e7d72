from dynamo.sdk import dynamo_endpoint, service


@service(dynamo={"enabled": True, "namespace": "dynamo"})
class VllmWorker:
    @dynamo_endpoint()
    async def generate(self, request: dict):
        yield request
