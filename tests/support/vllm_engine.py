"""What the adapter does with a real vLLM: run by an interpreter that has one, prints what it saw as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from dynamo.engines import moved
from dynamo.engines.engine import EngineRequest, RequestTooLong
from dynamo.engines.vllm import VllmEngine, VllmMissing
from dynamo.llm.kv.hashing import block_hashes
from dynamo.llm.kv.held_blocks import EngineBlocks
from dynamo.llm.text import model_files
from dynamo.llm.text.openai_processor import OpenAIProcessor
from dynamo.llm.text.preprocessor import Preprocessor

PROMPT = tuple(range(10, 210))


def request(name: str, **more: object) -> EngineRequest:
    return EngineRequest(
        id=name,
        tokens=PROMPT,
        **{"max_tokens": 8, "sampling": {"temperature": 0}, **more},  # type: ignore[arg-type]
    )


async def answer(engine: VllmEngine, asked: EngineRequest) -> tuple[list[int], object]:
    steps = [step async for step in engine.generate(asked)]
    return [token for step in steps for token in step.tokens], steps[-1]


async def main(model: str) -> dict[str, object]:
    """Everything that is looked at."""
    seen: dict[str, object] = {}
    events, metrics = [], []
    arguments = ["--model", model, "--block-size", "32", "--max-model-len", "1024", "--enforce-eager",
                 "--dtype", "bfloat16", "--enable-prefix-caching"]  # fmt: skip
    began = time.monotonic()
    engine = await VllmEngine.start(arguments, on_events=events.extend, on_metrics=metrics.append)
    seen["start_seconds"] = round(time.monotonic() - began, 1)
    first, _ = await answer(engine, request("a"))
    began = time.monotonic()
    again, last = await answer(engine, request("b"))
    seen["again_seconds"] = round(time.monotonic() - began, 3)
    seen["same"] = first == again
    seen["made"] = len(first)
    seen["cached"] = last.cached_tokens  # type: ignore[attr-defined]
    await asyncio.sleep(0.5)
    blocks = EngineBlocks(32)
    for event in events:
        blocks.apply_event(event)
    seen["blocks_of_prompt"] = sum(key in blocks.list_hashes() for key in block_hashes(PROMPT, 32))
    seen["slots"] = metrics[-1].request_total_slots
    seen["blocks"] = metrics[-1].kv_total_blocks
    seen["hit_rate"] = metrics[-1].gpu_prefix_cache_hit_rate
    left = engine.generate(request("left", max_tokens=600, stop_tokens=frozenset()))
    await anext(left)
    await left.aclose()
    await asyncio.sleep(0.5)
    await answer(engine, request("after"))
    seen["running_after_left"] = metrics[-1].request_active_slots
    seen["logprobs"] = [
        len(entry)
        async for step in engine.generate(request("l", max_tokens=2, sampling={"logprobs": 3}))
        for entry in step.logprobs
    ]
    try:
        await answer(engine, request("long", max_tokens=1020))
        seen["too_long"] = "taken"
    except RequestTooLong:
        seen["too_long"] = "refused"
    began = time.monotonic()
    many = await asyncio.gather(
        *(answer(engine, request(f"m{n}", max_tokens=64, stop_tokens=frozenset())) for n in range(8))
    )
    seen["tokens_a_second"] = round(sum(len(tokens) for tokens, _ in many) / (time.monotonic() - began))
    files = model_files.read_model(model)
    processor = OpenAIProcessor(Preprocessor(files, 1024), engine.generate)
    chunks = [
        chunk async for chunk in processor.chat({"messages": [{"role": "user", "content": "hello"}], "max_tokens": 5})
    ]
    seen["usage"] = chunks[-1]["usage"]["completion_tokens"]
    await engine.close()
    try:
        await VllmEngine.start(["--model", model, "--no-such-option", "1"])
        seen["wrong_option"] = "taken"
    except VllmMissing:
        seen["wrong_option"] = "refused"
    return seen


def old_paths(model: str) -> dict[str, object]:
    """The imports of code that was written for vLLM's paths of 2025."""
    moved.install_finder()
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.openai.api_server import build_async_engine_client_from_engine_args
    from vllm.entrypoints.openai.protocol import ChatCompletionRequest, CompletionRequest, ErrorResponse
    from vllm.utils import FlexibleArgumentParser, random_uuid

    from dynamo.sdk.lib.config import ServiceConfig

    ServiceConfig.set_instance(
        {"VllmWorker": {"model": model, "block-size": 32, "router": "kv", "enforce-eager": True}}
    )
    parser = FlexibleArgumentParser()
    parser.add_argument("--router", type=str, choices=["random", "round-robin", "kv"], default="random")
    parser = AsyncEngineArgs.add_cli_args(parser)
    args = parser.parse_args(ServiceConfig.get_instance().as_args("VllmWorker", prefix=""))
    engine = AsyncEngineArgs.from_cli_args(args)
    chat = ChatCompletionRequest(model="m", messages=[{"role": "user", "content": "hi"}])
    return {
        "router": args.router,
        "block_size": engine.block_size,
        "eager": engine.enforce_eager,
        "chat": chat.messages[0]["content"],
        "names": [CompletionRequest.__name__, ErrorResponse.__name__, callable(random_uuid),
                  callable(build_async_engine_client_from_engine_args)],
    }  # fmt: skip


if __name__ == "__main__":
    found = old_paths(sys.argv[2]) if sys.argv[1] == "paths" else asyncio.run(main(sys.argv[2]))
    print("\n" + json.dumps(found))
