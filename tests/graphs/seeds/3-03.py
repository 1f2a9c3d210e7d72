@service(...)
class Frontend:
    processor = depends(Processor)
    ...
    self.processor.mdgenerate(...)

@service(...)
class Processor(Protocol):
    @dynamo_endpoint()
    async def mdgenerate(self, raw_request: GeneralRequest):

