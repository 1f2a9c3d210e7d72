from dynamo.sdk import async_on_shutdown, service

left = []

class Context:
    async def __aexit__(self, *failure):
        left.append(failure)

@service
class Worker:
    def __init__(self):
        self._engine_context = Context()

    # (block)

await ended(await made(Worker))
assert left == [(None, None, None)]
