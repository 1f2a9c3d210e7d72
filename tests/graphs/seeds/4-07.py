@service(
    dynamo={
        "enabled": True,
        "namespace": "dynamo",
    },
    image=DYNAMO_IMAGE,
)
class PrefillWorker:
    def __init__(self):
        # Initialize prefill-specific resources
        pass

    @dynamo_endpoint()
    async def prefill(self, request: PrefillRequest):
        # Implement prefill logic
        pass

@service(
    dynamo={
        "enabled": True,
        "namespace": "dynamo",
    },
    image=DYNAMO_IMAGE,
)
class DecodeWorker:
    def __init__(self):
        # Initialize decode-specific resources
        pass

    @dynamo_endpoint()
    async def decode(self, request: DecodeRequest):
        # Implement decode logic
        pass
