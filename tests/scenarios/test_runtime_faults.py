"""Faults under load: nothing is lost, every call ends in time, what is dead is not called."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dynamo.coordination.discovery import Instance, new_id
from dynamo.rpc import client_connection
from dynamo.rpc.runtime import connect
from dynamo.sdk import codec
from dynamo.sdk.errors import Deadline, Unavailable
from dynamo.sdk.graph import ServiceGraph
from scenarios import fault_worker, rolling_service
from scenarios.load import ENDPOINTS, Process, Requests, connected, workers
from support import pace, two_hosts
from support.effort import CAMPAIGN, points
from support.nats import nats_server
from support.waiting import PATIENCE, eventually

pytestmark = [pytest.mark.nats, pytest.mark.timeout(1800)]
PLANES = ("tcp", "nats")


def settings(url: str, plane: str = "tcp") -> dict[str, str]:
    return {"NATS_SERVER": url, "DYN_REQUEST_PLANE": plane}


async def seen(requests: Requests, count: int) -> None:
    """Wait until so many workers are known."""
    client = await requests.runtime.namespace(fault_worker.NAMESPACE).component("C").endpoint("unary").client()
    await client.wait_for_instances(count, 20)


@pytest.mark.parametrize("plane", PLANES)
async def test_a_worker_is_killed_every_second(plane):
    """Unstarted calls are done by others, started ones end with a typed error; a dead worker is not called."""
    kills = points(3, 60)
    with nats_server() as server:
        given = settings(server.url, plane)
        async with workers(3, given) as running, connected(given) as runtime:
            requests = Requests(runtime)
            await seen(requests, 3)
            requests.start(8, streams=4)
            dead: list[tuple[str, float]] = []
            for _ in range(kills):
                await asyncio.sleep(1)
                victim = running.pop(0)
                await victim.end(signal.SIGKILL)
                dead.append((victim.address, time.monotonic()))
                running.append(Process("C", given))
                await running[-1].ready()
            await asyncio.sleep(1.2)
            counts = await requests.stop()
            requests.nothing_lost()
            print(plane, dict(counts))
            assert counts["unary right"] > 100 * kills
            assert counts["stream right"] > 5 * kills
            assert set(counts) <= {"unary right", "stream right", "stream unavailable"}, counts
            assert counts["stream unavailable"] <= 4 * kills
            for address, moment in dead:
                assert requests.called_after(address, moment + 1) == 0


@pytest.mark.parametrize("plane", PLANES)
async def test_nats_is_killed_and_comes_back(plane):
    """Running streams go on, calls go on, events and jobs are kept, and new workers are found afterwards."""
    with nats_server() as server:
        given = settings(server.url, plane)
        async with workers(2, given) as running, connected(given) as runtime:
            requests = Requests(runtime, deadline=15.0 if plane == "nats" else 5.0)
            await seen(requests, 2)
            topic, queue = runtime.events.topic("n", "kept"), runtime.queues.queue("n", "kept")
            for number in range(50):
                await topic.publish(number)
                await queue.put(number)
            requests.start(4, streams=2)
            long = asyncio.ensure_future(counted(requests, 1200))
            heard = asyncio.ensure_future(followed(topic, 60))
            for _ in range(points(1, 6)):
                await asyncio.sleep(1)
                server.stop(kill=True)
                await asyncio.sleep(2)
                server.start()
            for number in range(50, 60):
                await topic.publish(number)
            late = Process("C", given)
            running.append(await late.ready())
            await seen(requests, 3)
            assert await heard == list(range(60))
            jobs = []
            while (job := await queue.take(2)) is not None:
                jobs.append(job.value)
                await job.done()
            assert sorted(jobs) == list(range(50))
            if plane == "tcp":
                assert await long == 1200
            else:
                await asyncio.gather(long, return_exceptions=True)
            counts = await requests.stop()
            print(plane, dict(counts))
            requests.nothing_lost()
            if plane == "tcp":
                assert set(counts) <= {"unary right", "stream right"}, counts


async def counted(requests: Requests, count: int) -> int:
    """Read a long stream to its end."""
    got = 0
    async for item in requests.client.stream({"count": count}):
        assert item == got
        got += 1
    return got


async def followed(topic, count: int) -> list[int]:
    """The first events of a topic."""
    found = []
    async with contextlib.aclosing(topic.follow()) as events:
        async for event in events:
            found.append(event.value)
            if len(found) == count:
                return found
    return found


async def test_a_worker_is_stopped_and_goes_on():
    """SIGSTOP: its calls end by their deadlines, it is left alone once its lease ran out, and used again later."""
    with nats_server() as server:
        given = settings(server.url)
        async with workers(2, given) as (stopped, _), connected(given) as runtime:
            requests = Requests(runtime, deadline=2.0)
            await seen(requests, 2)
            requests.start(8, streams=2)
            await asyncio.sleep(1)
            stopped.send(signal.SIGSTOP)
            moment = time.monotonic()
            await asyncio.sleep(8)
            assert requests.called_after(stopped.address, moment + 5.5) == 0
            assert requests.called_after(stopped.address, moment) > 0
            stopped.send(signal.SIGCONT)
            again = time.monotonic()
            await eventually(lambda: requests.called_after(stopped.address, again))
            before = requests.counts["unary right"]
            await asyncio.sleep(1)
            assert requests.counts["unary right"] > before
            counts = await requests.stop()
            print(dict(counts))
            requests.nothing_lost()
            assert set(counts) <= {"unary right", "stream right", "unary deadline", "stream deadline"}, counts


async def test_two_hosts_lose_packets_and_the_cable():
    """Lost packets only cost time; a pulled cable ends calls by deadline, and the worker is used again afterwards."""
    reason = two_hosts.missing()
    if reason:
        pytest.skip(reason)
    with two_hosts.two_hosts() as (one, two):
        with nats_server(on=tuple(one.on()), host=one.address) as server:
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "NATS_SERVER": server.url}
            worker = Process("C", settings(server.url), on=tuple(two.on()))
            await worker.ready()
            script = one.on(sys.executable, __file__)
            other = subprocess.Popen(script, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            try:

                async def measured(seconds: float) -> dict[str, int]:
                    before = await asked(other)
                    await asyncio.sleep(seconds)
                    after = await asked(other)
                    return {name: after[name] - before.get(name, 0) for name in after}

                clean = await measured(2)
                assert {name for name, count in clean.items() if count} <= {"unary right", "stream right"}, clean
                for host in (one, two):
                    host.lose(0.05)
                lossy = await measured(points(3, 60))
                print("5 % lost:", lossy)
                assert lossy["unary right"] > 50
                assert not lossy.get("wrong")
                for host in (one, two):
                    host.lose(1)
                cut = await measured(5)
                print("cut:", cut)
                assert not cut.get("wrong")
                for host in (one, two):
                    host.lose(0)
                await asyncio.sleep(6)
                healed = await measured(3)
                print("healed:", healed)
                assert healed["unary right"] > 50
                last, _ = await asyncio.to_thread(other.communicate, None, 30)
                assert other.returncode == 0, last
                assert "nothing lost" in last
            finally:
                other.kill()
                other.wait()
                await worker.end(signal.SIGKILL)


async def asked(other: subprocess.Popen[str]) -> dict[str, int]:
    """The counts of the process on the other host."""

    assert other.stdout is not None
    assert other.stdin is not None
    other.stdin.write("\n")
    other.stdin.flush()
    return json.loads(await asyncio.to_thread(other.stdout.readline))


async def calls_of_the_other_host() -> None:
    """What the caller's process does: calls, says its counts for every line, and at the end whether all was right."""

    async with await connect() as runtime:
        requests = Requests(runtime, deadline=4.0)
        await seen(requests, 1)
        requests.start(8, streams=2)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(requests.counts), flush=True)
        await requests.stop()
        requests.nothing_lost()
        print("nothing lost", flush=True)


class Proxy:
    """A way to a worker that can be cut: `cut` resets connections, `swallow` lets nothing through and says nothing."""

    def __init__(self, address: str) -> None:
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        self._there = host, int(port)
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.swallowing = False
        self.address = ""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = "tcp://127.0.0.1:" + str(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._there)
        self._writers += [writer, back]
        for source, target in ((reader, back), (there, writer)):
            self._tasks.add(asyncio.ensure_future(self._copy(source, target)))

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                if not self.swallowing:
                    target.write(data)
                    await target.drain()
        except OSError:
            pass
        finally:
            target.close()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def test_connections_are_cut_and_half_open(monkeypatch):
    """A connection that is cut costs its streams; one that swallows everything is noticed, and both are made again."""
    monkeypatch.setattr(client_connection, "PING_SECONDS", 0.4)
    monkeypatch.setattr(client_connection, "SILENT_SECONDS", 2.0)
    with nats_server() as server:
        given = settings(server.url)
        async with workers(1, given, "Behind") as (worker,), connected(given) as runtime:
            proxy = Proxy(worker.address)
            await proxy.start()
            instance = Instance(
                namespace=fault_worker.NAMESPACE, component="C", id=new_id(), address=proxy.address, endpoints=ENDPOINTS
            )
            # The worker knows its endpoints under its own component's name, so calls go there by the other's address.
            runtime.get_callee(fault_worker.NAMESPACE, "C").format_path = lambda name: (
                f"{fault_worker.NAMESPACE}/Behind/{name}"
            )
            await runtime.discovery.register(instance)
            requests = Requests(runtime, deadline=3.0)
            await seen(requests, 1)
            requests.start(8, streams=2)
            for _ in range(points(3, 40)):
                await asyncio.sleep(1)
                proxy.cut()
            await asyncio.sleep(2)
            cut = dict(requests.counts)
            print("cut:", cut)
            assert set(cut) <= {"unary right", "stream right", "stream unavailable"}, cut
            proxy.swallowing = True
            await asyncio.sleep(2)
            waiting = asyncio.ensure_future(requests.client.hang()._fetch_result())
            await asyncio.sleep(5)
            assert not waiting.done()  # it was sent again
            proxy.swallowing = False
            proxy.cut()
            await asyncio.sleep(2)
            before = requests.counts["unary right"]
            await asyncio.sleep(1)
            assert requests.counts["unary right"] > before
            waiting.cancel()
            counts = await requests.stop()
            print("half open:", dict(counts))
            requests.nothing_lost()
            await proxy.close()


async def test_a_slow_reader_holds_up_nobody():
    """Streams that nobody reads stop their generators; others on the same connection go on, and memory stays."""
    with nats_server() as server:
        given = settings(server.url)
        async with workers(1, given) as _, connected(given) as runtime:
            requests = Requests(runtime)
            await seen(requests, 1)
            slow = [requests.client.flood(4096).__aiter__() for _ in range(20)]
            for reply in slow:
                await reply.__anext__()
            await asyncio.sleep(1)
            before = await requests.client.usage()
            requests.start(8, streams=4)
            await asyncio.sleep(points(3, 60))
            counts = await requests.stop()
            after = await requests.client.usage()
            print(dict(counts), before, after)
            requests.nothing_lost()
            assert set(counts) == {"unary right", "stream right"}, counts
            assert counts["unary right"] > 300
            assert after["now"] < before["now"] + 20_000
            for reply in slow:
                await reply.aclose()


@contextlib.contextmanager
def small_disk(folder: Path):
    """A file system of 12 MiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"needs to mount: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("kind", ["limit", "disk"] if CAMPAIGN else ["limit"])
async def test_the_disk_of_jetstream_is_full(kind, tmp_path):
    """Who publishes is told; discovery and calls need no disk, and go on; with room again events are taken again."""
    with contextlib.ExitStack() as stack:
        if kind == "disk":
            store = stack.enter_context(small_disk(tmp_path))
            server = stack.enter_context(nats_server(store=store, jetstream="max_file_store: 1GB"))
        else:
            server = stack.enter_context(nats_server(jetstream="max_file_store: 2MB"))
        given = settings(server.url)
        async with workers(1, given) as running, connected(given) as runtime:
            requests = Requests(runtime)
            await seen(requests, 1)
            requests.start(4)
            topic = runtime.events.topic("n", "full")
            with pytest.raises(Unavailable, match=r"keeps nothing more|did not take"):
                for _ in range(200):
                    await topic.publish(b"x" * 100_000, key="big")
            with pytest.raises(Unavailable):
                await runtime.queues.queue("n", "full").put(b"x" * 100_000)
            running.append(await Process("C", given).ready())
            await seen(requests, 2)
            if kind == "disk":
                subprocess.run(["mount", "-o", "remount,size=64m", str(tmp_path)], check=True)
                server.stop()  # it remembers a failed write until then
                server.start()
            await topic.forget("big")
            assert await topic.publish("again") > 0
            counts = await requests.stop()
            print(dict(counts))
            requests.nothing_lost()
            assert set(counts) == {"unary right"}


@pytest.mark.parametrize("jump", ["+2h", "-2h"])
async def test_the_clock_of_a_worker_jumps(jump, tmp_path):
    """Leases and deadlines do not look at the time of day."""
    faketime = pytest.importorskip("libfaketime")
    library = next(Path(faketime.__file__).parent.rglob("libfaketime.so.1"), None)
    if library is None:
        pytest.skip("needs libfaketime")
    shown = tmp_path / "time"
    shown.write_text("+0")
    with nats_server() as server:
        given = settings(server.url)
        fake = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(shown),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        async with workers(1, {**given, **fake}) as _, connected(given) as runtime:
            requests = Requests(runtime)
            await seen(requests, 1)
            requests.start(4, streams=2)
            await asyncio.sleep(1)
            shown.write_text(jump)
            await asyncio.sleep(points(6, 30))
            counts = await requests.stop()
            print(dict(counts))
            requests.nothing_lost()
            assert set(counts) == {"unary right", "stream right"}, counts
            with pytest.raises(Deadline):
                await requests.client.hang(timeout=0.2)


async def test_the_broker_is_absent_at_the_start():
    """It is named, the process goes on to try, and gives up after its window; a broker that comes in time is used."""
    absent = Process("C", settings("nats://127.0.0.1:1"))
    assert absent.process.stderr is not None
    line = await asyncio.to_thread(absent.process.stderr.readline)
    assert "no NATS server answers at 127.0.0.1:1 yet" in line
    code = await asyncio.to_thread(absent.process.wait, PATIENCE)
    assert code == 17
    assert "no NATS server answers at 127.0.0.1:1" in absent.process.communicate()[1]
    with nats_server() as server:
        server.stop()
        late = Process("C", settings(server.url))
        await asyncio.sleep(3)
        server.start()
        await late.ready()
        await late.end()


@pytest.mark.parametrize("plane", PLANES)
async def test_every_worker_is_restarted(plane, tmp_path):
    """Real workers, one after the other, each ended by SIGTERM under load when its successor is there: nothing fails."""
    spec = rolling_service.C.build_spec(str(tmp_path))
    graph = ServiceGraph(target="scenarios.rolling_service:C", entry="C", services=(spec,))
    (tmp_path / "graph.json").write_bytes(codec.encode_canonical(graph))
    (tmp_path / "config.json").write_text("{}")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "DYNAMO_BENTO": str(tmp_path)}
    command = [sys.executable, "-m", "dynamo.worker", "C"]
    with nats_server() as server:
        given = settings(server.url, plane)
        async with connected(given) as runtime:
            client = await runtime.namespace(fault_worker.NAMESPACE).component("C").endpoint("unary").client()
            requests = Requests(runtime)
            running = [subprocess.Popen(command, env={**environment, **given}) for _ in range(2)]
            try:
                await client.wait_for_instances(2, 30)
                requests.start(8, streams=4)
                for _ in range(points(4, 40)):
                    known = set(client.instance_ids())
                    running.append(subprocess.Popen(command, env={**environment, **given}))
                    while set(client.instance_ids()) <= known:
                        await asyncio.sleep(0.05)
                    oldest = running.pop(0)
                    oldest.terminate()
                    assert await asyncio.to_thread(oldest.wait, 30) == 0
                counts = await requests.stop()
            finally:
                for process in running:
                    process.kill()
                    process.wait()
            print(plane, dict(counts))
            requests.nothing_lost()
            assert set(counts) == {"unary right", "stream right"}, counts


async def test_it_keeps_its_size():
    """At half of the load it can carry memory and open files stay as they are, and every call is answered."""
    seconds = points(6, 900)
    with nats_server() as server:
        given = settings(server.url)
        async with workers(2, given) as _, connected(given) as runtime:
            requests = Requests(runtime)
            await seen(requests, 2)
            requests.sent = Forgetful()
            await pace.half(requests.one, 64, max(4, seconds / 15))
            before, ours = [await requests.client.usage() for _ in range(6)], own_usage()
            held = await pace.half(requests.one, 64, seconds)
            after, now = [await requests.client.usage() for _ in range(6)], own_usage()
            counts = await requests.stop()
            print(f"{held} in {seconds} s")
            print(dict(counts), f"slowest {requests.slowest:.2f} s")
            print("counted worker", before[0], after[0], "caller", ours, now)
            requests.nothing_lost()
            assert set(counts) == {"unary right", "stream right"}, counts
            assert sum(counts.values()) > held.made > 100 * seconds
            assert max(item["now"] for item in after) <= 1.05 * max(item["now"] for item in before) + 2000
            assert max(item["files"] for item in after) <= max(item["files"] for item in before) + 1
            assert now["now"] <= 1.05 * ours["now"] + 2000
            assert now["files"] <= ours["files"] + 1


class Forgetful(list[tuple[float, str]]):
    """A list that keeps nothing."""

    def append(self, item: tuple[float, str]) -> None:
        """Forget it."""


def own_usage() -> dict[str, int]:
    """Memory in KiB and open files of this process."""
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[1]) * 4
    return {"now": now, "files": len(os.listdir("/proc/self/fd"))}


if __name__ == "__main__":
    asyncio.run(calls_of_the_other_host())
