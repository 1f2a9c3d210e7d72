@service(...)
class DummyWorker:
    @dynamo_endpoint()
    async def begenerate(self, request: GeneralRequest):
      ...

### In Processor or Router 
runtime = dynamo_context["runtime"]
comp_ns, comp_name = DummyWorker.dynamo_address()  # type: ignore
self.worker_client = (
  await runtime.namespace(comp_ns)
    .component(comp_name)
    .endpoint("begenerate")
    .client()
)

engine_generator = await self.worker_client.direct(..., worker_id)
engine_generator = await self.worker_client.random(...)
engine_generator = await self.worker_client.round_robin(...)
