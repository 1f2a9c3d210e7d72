"""The registry of instances on a real NATS server, which every test starts for itself."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from dynamo.coordination.discovery import Instance, new_id
from dynamo.rpc.runtime import connect
from dynamo.rpc.server import Dispatcher
from dynamo.sdk.errors import Unauthorized, Unavailable
from support.nats import nats_server
from support.waiting import eventually

pytestmark = pytest.mark.nats


def instance(name: str = "Worker", number: int = 0, address: str = "tcp://127.0.0.1:1") -> Instance:
    return Instance(namespace="n s", component=name, id=number or new_id(), address=address, endpoints=("e/x",))


@pytest.fixture(scope="module")
def server():
    with nats_server("secret") as running:
        yield running


def environment(server) -> dict[str, str]:
    return {"NATS_SERVER": server.url, "NATS_AUTH_TOKEN": "secret"}


async def test_register_watch_withdraw(server):
    """Instances are seen by watches made before and after them, and go when their lease is closed."""
    async with await connect(environment(server)) as one, await connect(environment(server)) as other:
        first, second = instance(), instance()
        await one.discovery.register(first)
        watch = await other.discovery.watch("n s", "Worker")
        assert watch.list_instances() == [first]
        lease = await one.discovery.register(second)
        await eventually(lambda: len(watch.list_instances("e/x")) == 2)
        await lease.close()
        await eventually(lambda: watch.list_instances() == [first])
        assert (await other.discovery.watch("n s", "Work")).list_instances() == []


async def test_a_silent_instance_is_forgotten(server):
    """Nobody has to say that an instance died: its heartbeats stop."""
    async with await connect(environment(server)) as one:
        watch = await one.discovery.watch("n s", "Silent")
        await one.discovery.write_instance(instance("Silent"))
        await eventually(lambda: len(watch.list_instances()) == 1)
        await eventually(lambda: not watch.list_instances())


async def test_everyone_gets_the_same_token(server):
    """Those who share a server and are given no token share the one kept there."""
    async with await connect(environment(server)) as one, await connect(environment(server)) as other:
        dispatcher = Dispatcher()
        dispatcher.add_method("n s/Echo/e/x", "e/x", lambda request: request)
        serving = await one.transport.serve(dispatcher)
        await one.discovery.register(instance("Echo", address=serving.address))
        client = await other.namespace("n s").component("Echo").endpoint("e/x").client()
        assert await client.generate({"a": 1}) == {"a": 1}
        assert len(client.instance_ids()) == 1
        await serving.drain(1)


async def test_a_restarted_server_knows_everything_again():
    """While there is no server nobody is forgotten, and after it came back the registry fills again."""
    with nats_server() as server:
        async with (
            await connect({"NATS_SERVER": server.url}) as one,
            await connect({"NATS_SERVER": server.url}) as other,
        ):
            known = instance()
            await one.discovery.register(known)
            watch = await other.discovery.watch("n s", "Worker")
            server.stop(kill=True)
            await asyncio.sleep(5)
            assert watch.list_instances() == [known]
            server.start()
            later = await connect({"NATS_SERVER": server.url})
            fresh = await later.discovery.watch("n s", "Worker")
            await eventually(lambda: fresh.list_instances() == [known])
            await asyncio.sleep(5)
            assert watch.list_instances() == [known]
            await later.close()


async def test_refused_and_absent(server):
    """A wrong token and an absent server are told apart, within the window."""
    with pytest.raises(Unauthorized, match="does not let us in"):
        await connect({"NATS_SERVER": server.url, "NATS_AUTH_TOKEN": "wrong"}, window=5)
    with pytest.raises(Unavailable, match=r"no NATS server answers at 127.0.0.1:1:"):
        await connect({"NATS_SERVER": "nats://127.0.0.1:1"}, window=0.5)


@pytest.mark.parametrize("plane", ["tcp", "nats"])
@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_it_closes_with_the_loop(server, capfd, plane, factory):
    """Who closes nothing, with a worker that serves and a stream that runs, ends without a word."""
    ended = []

    async def endless():
        try:
            while True:
                yield 1
                await asyncio.sleep(0.001)
        finally:
            ended.append(True)

    async def main() -> None:
        given = {**environment(server), "DYN_REQUEST_PLANE": plane}
        worker, caller = await connect(given), await connect(given)
        dispatcher = Dispatcher()
        dispatcher.add_method("n s/Open/e/x", "e/x", endless)
        serving = await worker.transport.serve(dispatcher)
        await worker.discovery.register(instance("Open", address=serving.address))
        items = caller.service("n s", "Open", {"e/x": "e/x"})["e/x"]().__aiter__()
        assert await items.__anext__() == 1

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
    assert ended
    assert capfd.readouterr() == ("", "")
