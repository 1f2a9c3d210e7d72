@service(
    dynamo={
        "enabled": True,
        "namespace": "your_namespace",
    },
    image=DYNAMO_IMAGE,
)
class YourWorker:
    # Worker implementation
    # ...

    @dynamo_endpoint()
    async def your_endpoint(self, request: RequestType) -> AsyncIterator[ResponseType]:
        # Endpoint Implementation
        pass
