"""A model on a laptop: llama.cpp inside this process, with continuous batching and a prompt cache."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import secrets
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynamo.engines.engine import EngineRequest, EngineSetup, EngineStep, RequestTooLong
from dynamo.engines.remembered import Memory, Place, SecondCache, Slots, Turns
from dynamo.llm.disagg.policy import KvHandoff
from dynamo.llm.kv.events import KvEvent
from dynamo.llm.kv.hashing import block_hashes
from dynamo.llm.kv.load import ForwardPassMetrics
from dynamo.llm.text.model_files import ModelMissing, locate_model
from dynamo.llm.text.tokenizer import Tokenizer, load_gguf
from dynamo.sdk.config import read_setting
from dynamo.sdk.errors import CannotStart

# By their names here and in llama.cpp's server.
_SAMPLING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "repetition_penalty": "repeat_penalty",
}


PIECE = 64
"""Tokens of a prompt that are computed in one go, at least."""
PATIENCE = 0.01
"""Seconds for each token that a prompt has left: so much later others may come and still be computed before it."""


class NoEngine(CannotStart):
    """The engine's package or a model's weights are not installed: what is missing, and how to get it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedSettings:
    """How to run a model. `context` is for each of the `slots` requests that run at once; `threads` 0: half the cores,
    since llama.cpp's threads wait for each other by spinning, which is ruinous on cores that are busy otherwise.
    `second_cache` are the MiB of memory for prompts that left their slots.
    """

    slots: int = 4
    context: int = 4096
    threads: int = 0
    block_size: int = 16
    second_cache: int = 8192


def find_weights(model: str) -> Path:
    """The GGUF file of a model. Raises NoEngine."""
    try:
        path = locate_model(model)
    except ModelMissing as error:
        raise NoEngine(str(error)) from error
    if not path.is_file():
        raise NoEngine(f"`{path}` is not a GGUF file, which this engine needs")
    return path


class EmbeddedEngine:
    """llama.cpp behind the Protocol of engines. Make one with `start`.

    It computes whole batches, and who comes during a long prompt would wait for all of it. So prompts are given to it
    in pieces, one at a time, those with the least left first.

    It tells no KV events of its own; those told here follow from the prompts it was given. Without the second cache
    they are what its slots hold; with it as much is told as the slots have, and is close, not exact.
    """

    def __init__(
        self,
        server: Any,
        tokenizer: Tokenizer,
        settings: EmbeddedSettings,
        on_events: Callable[[list[KvEvent]], None],
        on_metrics: Callable[[ForwardPassMetrics], None],
    ) -> None:
        self._server = server
        self._tokenizer = tokenizer
        self._settings = settings
        self._on_events = on_events
        self._on_metrics = on_metrics
        self._blocks = settings.slots * settings.context // settings.block_size
        self._memory: Memory = SecondCache(self._blocks) if settings.second_cache else Slots(settings.slots)
        self._places = Turns(settings.slots)
        self._prefills = Turns(1)
        self._threads = ThreadPoolExecutor(settings.slots, thread_name_prefix="llama")
        self._running: dict[str, threading.Event] = {}
        self._prompt_tokens = 0
        self._cached_tokens = 0

    @classmethod
    async def start(
        cls,
        model: str,
        settings: EmbeddedSettings | None = None,
        *,
        on_events: Callable[[list[KvEvent]], None] = lambda events: None,
        on_metrics: Callable[[ForwardPassMetrics], None] = lambda metrics: None,
    ) -> EmbeddedEngine:
        """Load a model. Raises NoEngine."""
        settings = settings or EmbeddedSettings()
        try:
            package = importlib.import_module("xllamacpp")
        except ImportError as error:
            raise NoEngine("the embedded engine is not installed; install dynamo-build[cpu]") from error
        path = find_weights(model)
        try:
            tokenizer = await asyncio.to_thread(load_gguf, path)
            server = await asyncio.to_thread(package.Server, _build_parameters(package, path, settings))
        except (RuntimeError, ValueError) as error:
            raise NoEngine(f"`{path}` cannot be loaded: {error}") from error
        return cls(server, tokenizer, settings, on_events, on_metrics)

    async def generate(self, request: EngineRequest) -> AsyncGenerator[EngineStep, None]:
        """The steps of an answer. Raises RequestTooLong."""
        room = self._settings.context - len(request.tokens)
        if not request.tokens or room < 1:
            raise RequestTooLong(f"{len(request.tokens)} tokens do not fit into a context of {self._settings.context}")
        # Clients that say nothing of a limit are given all that a model has; here it is what a slot has.
        limit = 1 if request.prefill_only else min(request.max_tokens, room)
        stop = threading.Event()
        self._running[request.id] = stop
        self._report_metrics()
        try:
            async with self._places.take_place(0):
                hashes = block_hashes(request.tokens, self._settings.block_size)
                place = self._memory.take_slot(hashes)
                self._report_events(place.events)
                computed: list[int] = []
                try:
                    async with aclosing(self._compute_steps(request, limit, place, stop, computed)) as steps:
                        async for step in steps:
                            yield step
                finally:
                    # Before the place is: whoever has it next may take the slot.
                    self._report_events(
                        self._memory.release_slot(place.slot, block_hashes(computed, self._settings.block_size))
                    )
        finally:
            stop.set()
            del self._running[request.id]
            self._report_metrics()

    async def close(self) -> None:
        """End all requests and let the model go."""
        for stop in self._running.values():
            stop.set()
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self._server = None

    async def _compute_steps(
        self, request: EngineRequest, limit: int, place: Place, stop: threading.Event, computed: list[int]
    ) -> AsyncGenerator[EngineStep, None]:
        """The steps of an answer from one slot; `computed` is what the slot holds."""
        came, tokens = time.monotonic(), request.tokens
        computed += tokens[: place.blocks * self._settings.block_size]
        cached: int | None = None
        for end in split_prompt(len(computed), len(tokens)):
            async with self._prefills.take_place(came + PATIENCE * (len(tokens) - len(computed))):
                async with aclosing(
                    self._request_completion(_build_piece_body(tokens[:end], place.slot), stop)
                ) as chunks:
                    async for chunk in chunks:
                        if cached is None and chunk.get("usage"):
                            cached = _count_cached(chunk["usage"])
            computed[:] = tokens[:end]
        async with AsyncExitStack() as turn:
            await turn.enter_async_context(self._prefills.take_place(came + PATIENCE * (len(tokens) - len(computed))))
            async with aclosing(self._request_completion(_build_body(request, limit, place.slot), stop)) as chunks:
                async for chunk in chunks:
                    await turn.aclose()
                    step = self._build_step(chunk, request, cached)
                    if step is not None:
                        computed += [*tokens[len(computed) :], *step.tokens]
                        yield step
        if stop.is_set():
            yield EngineStep(tokens=(), finish_reason="cancelled")

    async def _request_completion(
        self, body: dict[str, Any], stop: threading.Event
    ) -> AsyncGenerator[dict[str, Any], None]:
        """What llama.cpp says. Raises RequestTooLong."""
        loop = asyncio.get_running_loop()
        arriving: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        server = self._server

        def tell(chunk: dict[str, Any] | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop ended before the engine noticed
                loop.call_soon_threadsafe(arriving.put_nowait, chunk)

        def on_chunk(chunk: dict[str, Any]) -> bool:
            tell(chunk)
            return stop.is_set()

        def work() -> None:
            try:
                if not stop.is_set():
                    server.handle_completions(body, on_chunk)
            finally:
                tell(None)

        working = loop.run_in_executor(self._threads, work)
        while (chunk := await arriving.get()) is not None:
            if "error" in chunk:
                error = chunk["error"]
                message = str(error.get("message", error)) if isinstance(error, dict) else str(error)
                raise RequestTooLong(message) if "context" in message else RuntimeError(f"llama.cpp: {message}")
            yield chunk
        await working

    def _build_step(self, chunk: dict[str, Any], request: EngineRequest, before: int | None) -> EngineStep | None:
        choice = chunk["choices"][0] if chunk.get("choices") else {}
        entries = (choice.get("logprobs") or {}).get("content") or []
        reason = choice.get("finish_reason")
        if not entries and not reason:
            return None
        cached, handoff = 0, None
        if chunk.get("usage"):
            cached = _count_cached(chunk["usage"]) if before is None else before
            self._prompt_tokens += len(request.tokens)
            self._cached_tokens += cached
        if reason and request.prefill_only:
            # There is no way to hand llama.cpp's blocks on: who gets this computes the prompt again.
            handoff = KvHandoff(request=request.id, parameters={"recompute": True})
        return EngineStep(
            tokens=self._read_tokens(choice.get("text") or "", entries),
            finish_reason=("length" if reason == "length" else "stop") if reason else None,
            cached_tokens=cached,
            handoff=handoff,
            logprobs=tuple(_read_logprobs(entry) for entry in entries) if "logprobs" in request.sampling else (),
        )

    def _read_tokens(self, text: str, entries: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
        # It tells text, and of a character that is made of several tokens only the last one's id.
        tokens = tuple(entry["id"] for entry in entries)
        return tokens if self._tokenizer.decode(tokens) == text else tuple(self._tokenizer.encode(text, begun=True))

    def _report_events(self, events: list[KvEvent]) -> None:
        if events:
            self._on_events(events)

    def _report_metrics(self) -> None:
        slots, running = self._settings.slots, len(self._running)
        used = min(running / slots, 1.0)
        self._on_metrics(
            ForwardPassMetrics(
                request_active_slots=min(running, slots),
                request_total_slots=slots,
                kv_active_blocks=round(self._blocks * used),
                kv_total_blocks=self._blocks,
                num_requests_waiting=max(running - slots, 0),
                gpu_cache_usage_perc=used,
                gpu_prefix_cache_hit_rate=self._cached_tokens / self._prompt_tokens if self._prompt_tokens else 0.0,
            )
        )


def _build_parameters(package: Any, path: Path, settings: EmbeddedSettings) -> Any:
    parameters = package.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = settings.slots * settings.context
    parameters.n_parallel = settings.slots
    parameters.cache_ram_mib = settings.second_cache
    parameters.cpuparams.n_threads = settings.threads or max(1, (os.cpu_count() or 2) // 2)
    parameters.warmup = False
    parameters.verbosity = -1
    # It always listens on a loopback port of its own; nobody has the key of that.
    parameters.api_keys = [secrets.token_urlsafe(24)]
    parameters.endpoint_slots = False
    parameters.endpoint_props = False
    return parameters


def split_prompt(done: int, length: int) -> Iterator[int]:
    """Where the pieces of a prompt end of which so much is held, but for the last one, which the answer follows. They
    grow with what is before them, so that a long prompt has not hundreds.
    """
    while length - done > 1.5 * (size := max(PIECE, done // 8)):
        done += size
        yield done


def _build_piece_body(tokens: Sequence[int], slot: int) -> dict[str, Any]:
    return {"prompt": list(tokens), "max_tokens": 0, "stream": True, "cache_prompt": True, "id_slot": slot}


def _count_cached(usage: Mapping[str, Any]) -> int:
    """How many tokens of a prompt were not computed."""
    return int((usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0))


def _build_body(request: EngineRequest, limit: int, slot: int) -> dict[str, Any]:
    sampling = request.sampling
    body: dict[str, Any] = {
        "prompt": list(request.tokens),
        "max_tokens": limit,
        "stream": True,
        "cache_prompt": True,
        "id_slot": slot,
        # The ids of tokens come with their log probabilities alone.
        "logprobs": max(int(sampling.get("logprobs") or 0), 1),
        **{theirs: sampling[ours] for ours, theirs in _SAMPLING.items() if ours in sampling},
    }
    if not request.stop_tokens:
        body["ignore_eos"] = True
    bias = sampling.get("logit_bias")
    if isinstance(bias, Mapping):
        body["logit_bias"] = [[int(token), float(value)] for token, value in bias.items()]
    form = sampling.get("response_format")
    if isinstance(form, Mapping) and form.get("type") in ("json_object", "json_schema"):
        body["json_schema"] = (form.get("json_schema") or {}).get("schema") or {"type": "object"}
    return body


def _read_logprobs(entry: Mapping[str, Any]) -> dict[int, float]:
    found = {entry["id"]: entry["logprob"]}
    for other in entry.get("top_logprobs") or ():
        found.setdefault(other["id"], other["logprob"])
    return found


async def start_configured(setup: EngineSetup) -> EmbeddedEngine:
    """The engine of a configuration. Raises BadConfiguration, and what EmbeddedEngine.start raises."""
    values = setup.values
    settings = EmbeddedSettings(
        slots=read_setting(values, "slots", 4, least=1),
        context=read_setting(values, "max-model-len", 4096, least=1),
        threads=read_setting(values, "threads", 0, least=0),
        block_size=setup.block_size,
        second_cache=read_setting(values, "second-cache", 8192),
    )
    model = read_setting(values, "model", "smollm2")
    return await EmbeddedEngine.start(model, settings, on_events=setup.on_events, on_metrics=setup.on_metrics)
