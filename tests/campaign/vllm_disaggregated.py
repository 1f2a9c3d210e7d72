"""Prefill and decode in two processes of vLLM with NIXL between them: run as `prefill` or `decode`, talks by lines."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from dynamo.engines.engine import EngineRequest
from dynamo.engines.vllm import VllmEngine
from dynamo.llm.disagg.policy import KvHandoff

TRANSFER = {"kv_connector": "NixlConnector", "kv_role": "kv_both", "kv_load_failure_policy": "recompute",
            "kv_buffer_device": "cpu"}  # fmt: skip


def arguments(model: str) -> list[str]:
    """The engine's options."""
    return ["--model", model, "--block-size", "32", "--max-model-len", "1024", "--enforce-eager", "--dtype", "bfloat16",
            "--enable-prefix-caching", "--kv-transfer-config", json.dumps(TRANSFER)]  # fmt: skip


async def main(part: str, model: str) -> None:
    """Answer one JSON line with another."""
    engine = await VllmEngine.start(arguments(model))
    say({"ready": part})
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        asked = json.loads(line)
        given = asked.get("handoff")
        request = EngineRequest(
            id=asked["id"],
            tokens=tuple(asked["tokens"]),
            max_tokens=asked.get("max_tokens", 8),
            sampling={"temperature": 0},
            prefill_only=part == "prefill",
            handoff=KvHandoff(request=asked["id"], parameters=given) if given else None,
        )
        began, first, tokens, cached, handoff = time.monotonic(), 0.0, [], 0, None
        async for step in engine.generate(request):
            first = first or time.monotonic() - began
            tokens += step.tokens
            cached = max(cached, step.cached_tokens)
            handoff = step.handoff or handoff
        await asyncio.sleep(0.2)
        say(
            {
                "tokens": tokens,
                "cached": cached,
                "first": first,
                "transferred": engine.transferred_tokens,
                "handoff": handoff and handoff.parameters,
            }
        )
    await engine.close()


def say(value: dict[str, Any]) -> None:
    """One line to the one who started this."""
    sys.stdout.write("\n>" + json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
