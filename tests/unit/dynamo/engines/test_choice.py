"""Engines by configuration."""

from __future__ import annotations

import pytest

from dynamo.engines.choice import start_engine
from dynamo.engines.echo import EchoEngine
from dynamo.engines.serving import OWN, build_arguments
from dynamo.engines.simulated import SimulatedEngine
from dynamo.engines.vllm import VllmMissing
from dynamo.sdk.config import ServiceConfig
from dynamo.sdk.errors import BadConfiguration, CannotStart


async def test_chosen():
    """Each name is its engine, with its settings."""
    assert isinstance(await start_engine({"engine": "echo", "delay": 1}), EchoEngine)
    simulated = await start_engine({"engine": "simulated", "block-size": 32, "blocks": 10})
    assert isinstance(simulated, SimulatedEngine)
    assert (simulated.batcher.settings.block_size, simulated.batcher.pool.total) == (32, 10)


async def test_wrong():
    """Unknown engines and values of a wrong type are said with their key."""
    with pytest.raises(BadConfiguration, match="there are embedded, vllm"):
        await start_engine({"engine": "llama"})
    with pytest.raises(BadConfiguration, match="block-size"):
        await start_engine({"engine": "echo", "block-size": "many"})
    for key in ("block-size", "slots", "max-model-len", "threads"):
        with pytest.raises(CannotStart, match=f"`{key}` cannot be -1; the least is"):
            await start_engine({key: -1})


async def test_vllm_is_missing():
    """Where vLLM is not installed, one line says so."""
    with pytest.raises(VllmMissing, match="not installed"):
        await start_engine({"engine": "vllm"}, ["--model", "m"])


def test_arguments(monkeypatch):
    """vLLM's parser sees its own keys alone, those of `Common` included."""
    config = {
        "Common": {"model": "m", "block-size": 64, "kv-transfer-config": {"kv_role": "kv_both"}},
        "VllmWorker": {
            "engine": "vllm",
            "remote-prefill": True,
            "enforce-eager": True,
            "common-configs": ["model", "kv-transfer-config"],
            **dict.fromkeys(OWN, 1),
        },
    }
    monkeypatch.setattr(ServiceConfig, "_instance", ServiceConfig(config))
    assert build_arguments("VllmWorker") == [
        "--model", "m", "--kv-transfer-config", '{"kv_role": "kv_both"}', "--enforce-eager",
    ]  # fmt: skip
