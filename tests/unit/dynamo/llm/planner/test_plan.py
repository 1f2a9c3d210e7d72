"""How many workers a graph should have."""

from __future__ import annotations

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.coordination.queues import MemoryQueues
from dynamo.coordination.topics import MemoryEvents
from dynamo.engines.virtual_time import VirtualTimeLoop
from dynamo.llm.disagg.jobs import prefill_queue
from dynamo.llm.kv.load import ForwardPassMetrics
from dynamo.llm.kv.publisher import WorkerMetricsPublisher
from dynamo.llm.kv_routing.router import RouterSettings
from dynamo.llm.kv_routing.routing_service import RoutingService
from dynamo.llm.kv_routing.timings import RequestTimings
from dynamo.llm.planner.plan import Observation, PlannerSettings, plan_workers
from dynamo.llm.planner.planner_service import Planner, create_scaler, planner_settings
from dynamo.llm.planner.scalers import CannotScale, KubernetesScaler, SupervisorScaler

SETTINGS = PlannerSettings(first_token_seconds=0.5, token_seconds=0.05)


def seen(decode=2, prefill=2, kv=0.7, **more):
    return Observation(decode_workers=decode, prefill_workers=prefill, kv_usage=kv, waiting=0, **more)


@pytest.mark.parametrize(
    ("observed", "decode", "prefill", "reason"),
    [
        (seen(prefill_queue=2), 2, 2, ""),
        (seen(kv=0.95, prefill_queue=2), 3, 2, "95% of the KV blocks are in use"),
        (seen(kv=0.3, prefill_queue=2), 1, 2, "one decode worker less: 30%"),
        (seen(kv=0.49, prefill_queue=2), 2, 2, ""),  # one alone would be over the upper threshold at once
        (seen(prefill_queue=12), 2, 3, "6.0 prompts wait for each"),
        (seen(prefill_queue=0), 2, 1, "one prefill worker less"),
        (seen(prefill=0), 2, 0, ""),
        (seen(decode=1, prefill=1, kv=0.0), 1, 1, ""),
        (seen(decode=5, prefill=3, kv=0.95, prefill_queue=6), 5, 3, "8 GPUs are the bound"),
        (seen(decode=5, prefill=2, kv=0.95, prefill_queue=30), 6, 2, "8 GPUs are the bound"),
        (seen(first_tokens=(0.1, 0.9), prefill_queue=2), 2, 3, "over 0.90 s for its first token, 0.5 s is the target"),
        (seen(prefill=0, first_tokens=(0.9,)), 3, 0, "one decode worker more: one request of ten"),
        (seen(first_tokens=(0.1, 0.2)), 2, 1, "one prefill worker less"),
        (seen(prefill_queue=2, token_gaps=(0.02, 0.08)), 3, 2, "over 80 ms between its tokens, 50 ms is the target"),
        (seen(prefill=0, kv=0.2, token_gaps=(0.08,)), 3, 0, "one decode worker more: one request of ten has"),
        (seen(prefill=0, kv=0.2, token_gaps=(0.02,)), 1, 0, "one decode worker less"),
        (seen(prefill_queue=2, kv=0.2, first_tokens=(0.9,)), 2, 3, "one prefill worker more"),
        (seen(decode=0, prefill=0), 0, 0, "no decode worker is there yet"),
    ],
)
def test_one_step_at_a_time(observed, decode, prefill, reason):
    """By KV use, queue, and the target for first tokens; within the bound of GPUs."""
    found = plan_workers(SETTINGS, [observed, observed])
    assert (found.decode_workers, found.prefill_workers) == (decode, prefill)
    assert any(reason in line for line in found.reasons) if reason else not found.reasons


def test_requests_that_always_wait():
    """Waiting once is nothing; waiting at every moment is a worker more."""
    busy = Observation(decode_workers=2, prefill_workers=0, kv_usage=0.6, waiting=9)
    assert plan_workers(SETTINGS, [busy, busy]).decode_workers == 3
    assert plan_workers(SETTINGS, [busy, seen(prefill=0), busy]).decode_workers == 2


@given(
    st.lists(
        st.builds(
            Observation,
            decode_workers=st.integers(0, 12),
            prefill_workers=st.integers(0, 12),
            kv_usage=st.floats(0, 1),
            waiting=st.integers(0, 99),
            prefill_queue=st.integers(0, 99),
            first_tokens=st.lists(st.floats(0, 9), max_size=3),
            token_gaps=st.lists(st.floats(0, 1), max_size=3),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_never_more_than_one_step_nor_more_gpus_than_there_are(observed):
    """Whatever is seen: at most one worker more or less of each kind, and no step over the bound."""
    last, found = observed[-1], plan_workers(SETTINGS, observed)
    assert abs(found.decode_workers - last.decode_workers) <= 1
    assert abs(found.prefill_workers - last.prefill_workers) <= 1
    before = last.decode_workers + last.prefill_workers
    assert found.decode_workers + found.prefill_workers <= max(SETTINGS.gpus, before)


def test_settings_from_a_configuration():
    """Dashes or underscores; what cannot be is refused."""
    found = planner_settings({"kv-up": 1, "queue_up": 7.5, "dry-run": True, "environment": "local"})
    assert (found.kv_up, found.queue_up, found.dry_run) == (1.0, 7.5, True)
    for wrong in ({"kv-up": "much"}, {"gpus": 1.5}, {"kv-up": 0.1}, {"interval-seconds": 0}):
        with pytest.raises(ValueError, match=r"cannot be|not below|above zero"):
            planner_settings(wrong)
    with pytest.raises(ValueError, match="`local` or `kubernetes`"):
        create_scaler({"environment": "moon"})
    assert isinstance(create_scaler({"environment": "local"}), SupervisorScaler)


class Recorder:
    def __init__(self, problem=""):
        self.calls, self.problem = [], problem

    async def scale(self, service, workers):
        self.calls.append((service, workers))
        if self.problem:
            raise CannotScale(self.problem)


@pytest.mark.parametrize("dry", [False, True])
def test_it_watches_and_has_it_done(dry):
    """Loaded workers, a long queue and slow first tokens become calls of the scaler; a dry run only says them."""

    async def body():
        events, queue, scaler = MemoryEvents(), prefill_queue(MemoryQueues(), "ns", "m"), Recorder("not today")
        loop = asyncio.get_running_loop()
        planner = Planner(
            events,
            "ns",
            "Decode",
            "Prefill",
            PlannerSettings(
                interval_seconds=20, observe_seconds=2, first_token_seconds=0.5, token_seconds=0.05, dry_run=dry
            ),
            scaler,
            workers={"Decode": lambda: [1, 2], "Prefill": lambda: [3]},
            queue=queue,
            clock=loop.time,
        )
        await planner.start()
        publisher = WorkerMetricsPublisher(events, "ns", "Decode", 1)
        await publisher.start()
        publisher.publish(ForwardPassMetrics(gpu_cache_usage_perc=0.97))
        for number in range(8):
            await queue.put({"n": number})
        routing = RoutingService(events, "ns", "Decode", lambda: [1, 2], RouterSettings(mode="random"), clock=loop.time)
        async with routing:
            await asyncio.sleep(1)
            routing.route("r", list(range(200)))
            await asyncio.sleep(3)
            routing.first_token("r")
            await asyncio.sleep(10)
            routing.finished("r", tokens=101)
            await asyncio.sleep(10)
        assert scaler.calls == ([] if dry else [("Decode", 3), ("Prefill", 2)])
        assert any("97% of the KV blocks" in line for line in planner.plans)
        assert any("8.0 prompts wait" in line for line in planner.plans)
        await publisher.close()
        await planner.close()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(body())


def test_requests_of_a_router_that_is_alone_are_timed():
    """To the first token, and between the others of an answer that ended; what ended before it had one has no gaps."""

    async def body():
        events, loop = MemoryEvents(), asyncio.get_running_loop()
        settings = RouterSettings(mode="random")
        async with RoutingService(events, "ns", "Decode", lambda: [1], settings, clock=loop.time) as routing:
            routing.route("early", list(range(200)))
            routing.first_token("early")
            await asyncio.sleep(1)
            timings = RequestTimings(events, "ns", "Decode", loop.time)
            await timings.start()
            await asyncio.sleep(1)
            for name in ("r", "cut"):
                routing.route(name, list(range(200)))
            await asyncio.sleep(3)
            routing.first_token("r")
            await asyncio.sleep(10)
            for name in ("r", "cut", "early"):
                routing.finished(name, tokens=101 if name != "cut" else 0)
            await asyncio.sleep(1)
            timings.on_message(b"nothing")
            assert timings.drain_times() == ([pytest.approx(3, abs=0.01)], [pytest.approx(0.1, abs=0.001)])
            assert timings.drain_times() == ([], [])
            await timings.close()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(body())


async def test_kubernetes_is_asked_for_the_scale_of_a_deployment(tmp_path, monkeypatch):
    """A merge patch of the scale subresource with the pod's token; a refusal and a missing account are told."""
    asked = []

    class Cluster(BaseHTTPRequestHandler):
        def do_PATCH(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append((self.path, self.headers["authorization"], self.headers["content-type"], body))
            self.send_response(403 if body["spec"]["replicas"] > 9 else 200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *parts):
            pass

    server = HTTPServer(("127.0.0.1", 0), Cluster)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        (tmp_path / "token").write_text("t0ken\n")
        (tmp_path / "namespace").write_text("team")
        address = f"http://127.0.0.1:{server.server_port}"
        scaler = KubernetesScaler(address=address, prefix="llm-", names={"Prefill": "other"}, account=tmp_path)
        await scaler.scale("VllmWorker", 3)
        await scaler.scale("Prefill", 2)
        with pytest.raises(CannotScale, match="refuses to scale llm-vllm-worker: 403"):
            await scaler.scale("VllmWorker", 10)
        with pytest.raises(CannotScale, match="no account"):
            await KubernetesScaler(address=address, account=tmp_path / "absent").scale("a", 1)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert asked[0] == (
        "/apis/apps/v1/namespaces/team/deployments/llm-vllm-worker/scale",
        "Bearer t0ken",
        "application/merge-patch+json",
        {"spec": {"replicas": 3}},
    )
    assert asked[1][0].endswith("/deployments/other/scale")
    with pytest.raises(CannotScale, match="cannot be reached"):
        await scaler.scale("a", 1)


async def test_no_supervisor(tmp_path):
    """Without one, or with one that refuses, the scaler says so."""
    with pytest.raises(CannotScale, match="no supervisor answers"):
        await SupervisorScaler(tmp_path / "1.control").scale("a", 2)
    path = tmp_path / "2.control"

    async def refuse(reader, writer):
        await reader.readline()
        writer.write(b"error: no service `a` runs here\n")
        writer.close()

    server = await asyncio.start_unix_server(refuse, path)
    with pytest.raises(CannotScale, match="no service `a`"):
        await SupervisorScaler(path).scale("a", 2)
    server.close()
