"""The adapter without vLLM: its parts, held to stand-ins of what they talk to."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import msgspec
import pytest

from dynamo.engines.engine import EngineRequest, RequestTooLong
from dynamo.engines.vllm import EngineEvents, VllmEngine, sampling_parameters
from dynamo.llm.disagg.policy import KvHandoff
from dynamo.llm.kv.engine_events import AllCleared, BlocksStored


@pytest.fixture(autouse=True)
def parameters(monkeypatch):
    module = ModuleType("vllm.sampling_params")
    module.SamplingParams = SimpleNamespace
    module.StructuredOutputsParams = SimpleNamespace
    module.RequestOutputKind = SimpleNamespace(DELTA="delta")
    monkeypatch.setitem(sys.modules, "vllm", ModuleType("vllm"))
    monkeypatch.setitem(sys.modules, "vllm.sampling_params", module)


def request(**more):
    return EngineRequest(id="r", tokens=(1, 2, 3), **more)


def test_sampling():
    """OpenAI's names are vLLM's, and tokens come alone, as they are made."""
    sampling = {"temperature": 0.5, "logit_bias": {"7": 1}, "response_format": {"type": "json_object"}, "other": 1}
    found = sampling_parameters(request(sampling=sampling, stop_tokens=frozenset({2})), None)
    assert (found.temperature, found.logit_bias, found.stop_token_ids) == (0.5, {7: 1.0}, [2])
    assert found.structured_outputs.json_object
    assert (found.detokenize, found.output_kind, found.ignore_eos) == (False, "delta", False)
    assert not hasattr(found, "other")


def test_transfer():
    """A prefill makes one token and asks to be fetched; a decode is told what the prefill said, word for word."""
    prefill = sampling_parameters(request(prefill_only=True, max_tokens=50), None)
    assert prefill.max_tokens == 1
    assert prefill.extra_args["kv_transfer_params"]["do_remote_decode"] is True
    handed = {"do_remote_prefill": True, "remote_block_ids": [[1, 2]]}
    decode = sampling_parameters(request(), KvHandoff(request="r", parameters=handed))
    assert decode.extra_args == {"kv_transfer_params": handed}
    again = sampling_parameters(request(), KvHandoff(request="r", parameters={"recompute": True}))
    assert not hasattr(again, "extra_args")


class Scripted:
    """An AsyncLLM that fails to fetch blocks."""

    vllm_config = SimpleNamespace(model_config=SimpleNamespace(max_model_len=64))

    def __init__(self):
        self.asked = []

    async def generate(self, prompt, parameters, name):
        self.asked.append((prompt["prompt_token_ids"], hasattr(parameters, "extra_args")))
        failed = self.asked[-1][1]
        made = SimpleNamespace(
            token_ids=[] if failed else [5], finish_reason="error" if failed else "length", logprobs=None
        )
        yield SimpleNamespace(outputs=[made], finished=True, num_cached_tokens=0, kv_transfer_params=None)


async def test_blocks_that_cannot_be_fetched():
    """An empty answer after a hand-off is no answer: the prompt is computed here."""
    engine = Scripted()
    asked = request(handoff=KvHandoff(request="r", parameters={"remote_host": "gone"}))
    steps = [step async for step in VllmEngine(engine, None).generate(asked)]
    assert engine.asked == [([1, 2, 3], True), ([1, 2, 3], False)]
    assert [step.tokens for step in steps] == [(5,)]
    assert steps[-1].finish_reason == "length"


async def test_too_long():
    """vLLM would cut the answer short in silence; here it is refused."""
    with pytest.raises(RequestTooLong, match="context of 64"):
        async for _ in VllmEngine(Scripted(), None).generate(request(max_tokens=62)):
            pass


def test_lost_messages():
    """After a gap in the numbers everything counts as gone before what follows is told."""
    told = []
    events = EngineEvents.__new__(EngineEvents)
    events._on_events, events._expected = told.append, -1

    def frames(number):
        stored = {"type": "BlockStored", "block_hashes": [number], "parent_block_hash": None,
                  "token_ids": [1, 2], "block_size": 2, "medium": "GPU"}  # fmt: skip
        return [b"kv", number.to_bytes(8, "big"), msgspec.msgpack.encode([0.0, [stored], 0])]

    for number in (7, 8, 11):
        events.read_message(frames(number))
    events.read_message([b"kv", b"x", b"nonsense"])
    assert [[type(event) for event in batch] for batch in told] == [
        [BlocksStored],
        [BlocksStored],
        [AllCleared, BlocksStored],
    ]
