"""The load generator against an endpoint of the test."""

from __future__ import annotations

import asyncio
import itertools
import json

import pytest

from dynamo.bench import __main__ as command
from dynamo.bench.generator import Load, draw_arrivals, run_load
from dynamo.bench.report import build_report, format_table
from dynamo.bench.stream import Endpoint, Measured, send_request
from dynamo.bench.workloads import Shape, make_talks, read_trace
from unit.dynamo.bench.openai_endpoint import OpenAiEndpoint

HELLO = [{"role": "user", "content": "hello there"}]


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("fault", ["", "plain"])
async def test_one_answer(chat, fault):
    """The text, the time to its first piece, the gaps between pieces and the usage are noted."""
    async with OpenAiEndpoint(0.02, fault) as endpoint:
        found = await send_request(Endpoint(url=endpoint.url, model="m", chat=chat, key="k3y"), HELLO, 5)
    assert (found.text, found.problem) == ("w0 w1 w2 w3 w4 ", "")
    assert len(found.gaps) == 4 and found.first + sum(found.gaps) <= found.total
    assert 0 < found.first <= found.total - 3 * 0.02  # the endpoint waits after each
    assert (found.output_tokens, found.cached_tokens) == (5, 0)
    assert "authorization: bearer k3y" in endpoint.heads[0].lower()
    assert endpoint.heads[0].startswith(f"POST /v1/{'chat/' if chat else ''}completions HTTP/1.1")


@pytest.mark.parametrize(
    ("fault", "said"),
    [("503", "503: not for you now"), ("cut", ""), ("error", "the worker went away")],
)
async def test_failures_are_told(fault, said):
    """A refusal, an answer that breaks off and an error in the stream are no answers."""
    async with OpenAiEndpoint(fault=fault) as endpoint:
        found = await send_request(Endpoint(url=endpoint.url, model="m"), HELLO, 5)
    assert found.problem and said in found.problem


async def test_nobody_there_and_nobody_in_time():
    """A closed port, an address that is none, and a slow endpoint."""
    assert (await send_request(Endpoint(url="http://127.0.0.1:1/v1", model="m"), HELLO, 5)).problem
    assert "not an http address" in (await send_request(Endpoint(url="here", model="m"), HELLO, 5)).problem
    async with OpenAiEndpoint(5) as endpoint:
        found = await send_request(Endpoint(url=endpoint.url, model="m", timeout=0.2), HELLO, 5)
    assert "within 0.2 s" in found.problem


async def test_shared_prefixes_are_met_again():
    """The report counts hits as the endpoint tells them, and failures apart."""
    async with OpenAiEndpoint() as endpoint:
        shape = Shape(kind="shared", prefixes=2, prefix_words=50, words=10, max_tokens=4)
        answers, seconds = await run_load(
            Endpoint(url=endpoint.url, model="m"), make_talks(shape), Load(requests=20, concurrency=3)
        )
    found = build_report([*answers, Measured(problem="no")], seconds)
    assert (found.requests, found.failed, found.problems) == (21, 1, {"no": 1})
    assert 0.5 < found.prefix_hit_rate < 1
    assert found.output_tokens == 80 and found.first_token_ms[0] > 0
    assert "prefix hit rate" in format_table(found) and "1 x no" in format_table(found)
    assert build_report([], 0.0).prefix_hit_rate is None and "not told" in format_table(build_report([], 0.0))


async def test_talks_go_on_with_the_answers():
    """A later turn holds what was said before it, the endpoint's answers too."""
    async with OpenAiEndpoint() as endpoint:
        shape = Shape(kind="talks", turns=3, prefix_words=5, words=4, max_tokens=2)
        await run_load(Endpoint(url=endpoint.url, model="m"), make_talks(shape), Load(requests=3, concurrency=1))
    roles = [[message["role"] for message in asked["messages"]] for asked in endpoint.asked]
    assert roles[2] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert endpoint.asked[2]["messages"][2]["content"] == "w0 w1 "
    assert endpoint.asked[1]["messages"][:2] == endpoint.asked[0]["messages"]


async def test_requests_come_when_they_come():
    """With a rate, answers that wait for a later request hold up none, and none comes before its time."""
    async with OpenAiEndpoint(together=8) as endpoint, asyncio.timeout(60):
        shape = Shape(kind="unshared", prefix_words=2, words=2, max_tokens=2)
        load = Load(requests=8, rate=50, even=True)
        answers, _ = await run_load(Endpoint(url=endpoint.url, model="m"), make_talks(shape), load)
    assert [one.problem for one in answers] == [""] * 8
    assert all(one.begun >= number / 50 for number, one in enumerate(answers, 1))


def test_arrivals():
    """Evenly, or by chance at that rate in the mean; chance is made up again alike."""
    even = list(itertools.islice(draw_arrivals(Load(rate=4, even=True)), 3))
    assert even == [0.25, 0.5, 0.75]
    first, again, other = (list(itertools.islice(draw_arrivals(Load(rate=10, seed=seed)), 5000)) for seed in (1, 1, 2))
    assert first == again != other
    assert first == sorted(first) and 450 < first[-1] < 550


def test_the_same_seed_says_the_same():
    """Workloads are made up, and made up again alike; another seed gives others."""
    first, again, other = ([next(iter(make_talks(Shape(seed=seed)))).turns for _ in range(2)] for seed in (1, 1, 2))
    assert first == again != other
    with pytest.raises(ValueError, match="not a workload"):
        next(make_talks(Shape(kind="hard")))


def test_a_trace_keeps_what_was_shared(tmp_path):
    """Equal ids are equal words, at their times; a line that is none is named."""
    lines = [
        {"timestamp": 0, "input_length": 3, "output_length": 7, "hash_ids": [1, 2]},
        {"timestamp": 500, "input_length": 3, "output_length": 5, "hash_ids": [1, 3]},
    ]
    path = tmp_path / "trace.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    first, second = read_trace(path, block_words=4)
    assert (second.at, second.max_tokens) == (0.5, 5)
    assert first.turns[0].split()[:4] == second.turns[0].split()[:4]
    assert first.turns[0].split()[4:] != second.turns[0].split()[4:]
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"trace.jsonl:1 is not a line"):
        list(read_trace(path))


def test_the_command(tmp_path, capsys, monkeypatch):
    """Figures on stdout, pictures in a folder; the exit code tells whether all was answered."""

    async def body(*more):
        async with OpenAiEndpoint() as endpoint:
            endpoint.fault = "500" if "broken" in more else ""
            arguments = ["--url", endpoint.url, "--model", "m", "--requests", "4", "--max-tokens", "3"]
            arguments += [entry for entry in more if entry != "broken"]
            return await asyncio.to_thread(command.main, arguments)

    assert asyncio.run(body("-o", "json", "--plots", str(tmp_path / "plots"))) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["requests"], found["failed"], found["output_tokens"]) == (4, 0, 12)
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["over_time.svg", "spread.svg"]
    assert asyncio.run(body("broken")) == 1
    assert "4 x 500: not for you now" in capsys.readouterr().out
    assert command.main(["--url", "http://127.0.0.1:1", "--model", "m", "--workload", "absent.jsonl"]) == 2
    assert "unknown workload" in capsys.readouterr().err
