import types

from VllmWorker import VllmWorker as called

from dynamo.sdk import dynamo_context

self = types.SimpleNamespace()
dynamo_context["runtime"] = await running(called)

# (block)

assert (comp_ns, comp_name) == ("dynamo", "VllmWorker")
(instance_id,) = self.worker_client.instance_ids()
for answers in (
    await self.worker_client.direct({"a": 1}, instance_id),
    await self.worker_client.random({"a": 1}),
    await self.worker_client.round_robin({"a": 1}),
):
    assert [item.data() async for item in answers] == [{"a": 1}]
