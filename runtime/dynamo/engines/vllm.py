"""vLLM behind the Protocol of engines: its options, its KV events, its numbers, and its transfer of blocks."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from dynamo.engines.engine import Engine, EngineRequest, EngineSetup, EngineStep, FinishReason, RequestTooLong
from dynamo.engines.vllm_nodes import VllmNode, read_place
from dynamo.llm.disagg.policy import KvHandoff
from dynamo.llm.kv.engine_events import AllCleared, EngineEvent, decode_batch
from dynamo.llm.kv.load import ForwardPassMetrics
from dynamo.sdk.errors import BadRequest, CannotStart, Unavailable

logger = logging.getLogger("dynamo.vllm")
_SAMPLING = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "min_tokens",
    "logprobs",
)
# What a prefill is asked for, and what a decode is told: source, vLLM's NIXL connector.
_HAND_ON = {
    "do_remote_decode": True,
    "do_remote_prefill": False,
    "remote_engine_id": None,
    "remote_block_ids": None,
    "remote_host": None,
    "remote_port": None,
}


class VllmMissing(CannotStart):
    """vLLM is not installed where the worker runs, or refuses its options."""


def engine_arguments(arguments: Sequence[str]) -> Any:
    """vLLM's AsyncEngineArgs from arguments as `ServiceConfig.as_args` gives them. Raises VllmMissing."""
    options = _import_vllm("vllm.engine.arg_utils").AsyncEngineArgs
    parser = options.add_cli_args(_import_vllm("vllm.utils.argparse_utils").FlexibleArgumentParser())
    try:
        return options.from_cli_args(parser.parse_args(list(arguments)))
    except SystemExit as error:
        raise VllmMissing(f"vLLM does not take the options {' '.join(arguments)}") from error


class VllmEngine:
    """AsyncLLM. Make one with `start`; its own processes end with it."""

    def __init__(self, engine: Any, events: EngineEvents | None, numbers: Sequence[_Numbers] = ()) -> None:
        self._engine = engine
        self._numbers = numbers
        self._events = events
        self._context = int(engine.vllm_config.model_config.max_model_len)

    @classmethod
    async def start(
        cls,
        arguments: Sequence[str],
        *,
        on_events: Callable[[list[EngineEvent]], Any] = lambda events: None,
        on_metrics: Callable[[ForwardPassMetrics], None] = lambda metrics: None,
    ) -> VllmEngine:
        """Load the model that the arguments name; takes from half a minute on. Raises VllmMissing."""
        options = engine_arguments(arguments)
        events = None
        if options.kv_events_config is None and options.enable_prefix_caching is not False:
            # vLLM connects to us, so that nothing of it listens to others.
            events = EngineEvents(_import_vllm("zmq.asyncio"), on_events)
            options.kv_events_config = _import_vllm("vllm.config.kv_events").KVEventsConfig(
                enable_kv_cache_events=True, publisher="zmq", endpoint=events.address, topic="kv"
            )
        if options.kv_transfer_config is not None:
            os.environ.setdefault("VLLM_NIXL_SIDE_CHANNEL_HOST", os.environ.get("DYNAMO_TRANSPORT_HOST", "127.0.0.1"))
            os.environ.setdefault("VLLM_NIXL_SIDE_CHANNEL_PORT", str(_free_port()))
        make = _import_vllm("vllm.v1.engine.async_llm").AsyncLLM.from_engine_args
        numbers: list[_Numbers] = []

        def counting(config: Any, index: int = 0) -> _Numbers:
            numbers.append(_Numbers(config, on_metrics))
            return numbers[-1]

        try:
            engine = await asyncio.to_thread(make, options, stat_loggers=[counting])
        except (RuntimeError, ValueError, OSError) as error:
            if events is not None:
                await events.close()
            raise VllmMissing(f"vLLM did not start: {error}") from error
        return cls(engine, events, numbers)

    async def generate(self, request: EngineRequest) -> AsyncGenerator[EngineStep, None]:
        """The steps of an answer. Raises RequestTooLong, and Unavailable when vLLM's processes are gone."""
        limit = 1 if request.prefill_only else request.max_tokens
        if len(request.tokens) + limit > self._context:
            asked = f"{len(request.tokens)} tokens and {limit} more"
            raise RequestTooLong(f"{asked} do not fit into a context of {self._context}")
        made = False
        async with contextlib.aclosing(self._generate_once(request, request.handoff)) as steps:
            async for step in steps:
                failed = step.finish_reason == "cancelled" and not made and request.handoff is not None
                if failed:
                    logger.warning("request %s: its blocks could not be fetched; it is prefilled here", request.id)
                    break
                made = made or bool(step.tokens)
                yield step
            else:
                return
        async with contextlib.aclosing(self._generate_once(request, None)) as steps:
            async for step in steps:
                yield step

    async def _generate_once(
        self, request: EngineRequest, handoff: KvHandoff | None
    ) -> AsyncGenerator[EngineStep, None]:
        try:
            parameters = sampling_parameters(request, handoff)
            outputs = self._engine.generate(
                {"prompt_token_ids": list(request.tokens)}, parameters, request.id + ("" if handoff else "-")
            )
            async with contextlib.aclosing(outputs):
                async for output in outputs:
                    yield _build_step(output, request)
        except ValueError as error:
            raise BadRequest(str(error)) from error
        except Exception as error:
            # Its class moves between versions; nothing of the engine is left, so another worker has to go on.
            if type(error).__name__ not in ("EngineDeadError", "EngineGenerateError"):
                raise
            raise Unavailable(f"vLLM's engine died: {error}") from error

    @property
    def transferred_tokens(self) -> int:
        """The tokens of prompts whose blocks came from another engine: an answer's `cached_tokens` leaves them out."""
        return sum(numbers.transferred for numbers in self._numbers)

    @property
    def alive(self) -> bool:
        """Whether vLLM's own processes still are."""
        return self._engine is not None and not bool(self._engine.errored)

    async def close(self) -> None:
        """End all requests and vLLM's processes."""
        engine, self._engine = self._engine, None
        await asyncio.to_thread(engine.shutdown)
        if self._events is not None:
            await self._events.close()


def sampling_parameters(request: EngineRequest, handoff: KvHandoff | None) -> Any:
    """vLLM's SamplingParams of a request. Raises ValueError for values that vLLM refuses."""
    parameters = _import_vllm("vllm.sampling_params")
    sampling = request.sampling
    given: dict[str, Any] = {name: sampling[name] for name in _SAMPLING if name in sampling}
    if isinstance(sampling.get("logit_bias"), Mapping):
        given["logit_bias"] = {int(token): float(value) for token, value in sampling["logit_bias"].items()}
    form = sampling.get("response_format")
    if isinstance(form, Mapping) and form.get("type") in ("json_object", "json_schema"):
        schema = (form.get("json_schema") or {}).get("schema")
        structured = {"json": dict(schema)} if schema else {"json_object": True}
        given["structured_outputs"] = parameters.StructuredOutputsParams(**structured)
    if request.prefill_only:
        given["extra_args"] = {"kv_transfer_params": dict(_HAND_ON)}
    elif handoff is not None and not handoff.parameters.get("recompute"):
        given["extra_args"] = {"kv_transfer_params": dict(handoff.parameters)}
    return parameters.SamplingParams(
        max_tokens=1 if request.prefill_only else request.max_tokens,
        stop_token_ids=sorted(request.stop_tokens),
        ignore_eos=not request.stop_tokens,
        detokenize=False,
        output_kind=parameters.RequestOutputKind.DELTA,
        **given,
    )


def _build_step(output: Any, request: EngineRequest) -> EngineStep:
    made = output.outputs[0]
    handoff = None
    if output.finished and request.prefill_only:
        handoff = KvHandoff(request=request.id, parameters=output.kv_transfer_params or {"recompute": True})
    tokens = tuple(made.token_ids)
    reason: FinishReason | None = None
    if output.finished:
        reason = made.finish_reason if made.finish_reason in ("stop", "length") else "cancelled"
        if tokens and tokens[-1] in request.stop_tokens:
            tokens = tokens[:-1]
    return EngineStep(
        tokens=tokens,
        finish_reason=reason,
        cached_tokens=output.num_cached_tokens or 0,
        handoff=handoff,
        logprobs=tuple(
            {token: likely.logprob for token, likely in entry.items()} for entry in made.logprobs or () if entry
        ),
    )


class _Numbers:
    """vLLM's statistics of a pass as the seven numbers; one of what it calls stat loggers."""

    def __init__(self, config: Any, on_metrics: Callable[[ForwardPassMetrics], None]) -> None:
        self._slots = int(config.scheduler_config.max_num_seqs)
        self._cache = config.cache_config
        self._on_metrics = on_metrics
        self._asked = self._hit = self.transferred = 0

    def record(self, scheduler_stats: Any, iteration_stats: Any, *others: Any, **more: Any) -> None:
        """A pass ended."""
        if scheduler_stats is None:
            return
        self._asked += int(scheduler_stats.prefix_cache_stats.queries)
        self._hit += int(scheduler_stats.prefix_cache_stats.hits)
        if scheduler_stats.connector_prefix_cache_stats is not None:
            self.transferred += int(scheduler_stats.connector_prefix_cache_stats.hits)
        blocks = int(self._cache.num_gpu_blocks or 0)
        self._on_metrics(
            ForwardPassMetrics(
                request_active_slots=scheduler_stats.num_running_reqs,
                request_total_slots=self._slots,
                kv_active_blocks=round(blocks * scheduler_stats.kv_cache_usage),
                kv_total_blocks=blocks,
                num_requests_waiting=scheduler_stats.num_waiting_reqs,
                gpu_cache_usage_perc=scheduler_stats.kv_cache_usage,
                gpu_prefix_cache_hit_rate=self._hit / self._asked if self._asked else 0.0,
            )
        )

    def log_engine_initialized(self) -> None:
        """Nothing to say."""

    def log(self) -> None:
        """Nothing to say."""

    def record_sleep_state(self, *state: Any) -> None:
        """Nothing to say."""


def _import_vllm(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = "is not installed" if "vllm" not in sys.modules else f"has no `{module}`: {error}"
        raise VllmMissing(f"vLLM {missing}; the base image brings it, on a machine: pip install vllm") from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def start_configured(setup: EngineSetup) -> Engine:
    """The engine of a configuration, or this node's part of one over several. Raises what VllmEngine.start raises."""
    here, arguments = read_place(os.environ), setup.arguments
    if here is not None and not here.is_leader:
        return await VllmNode.start(here, arguments)
    arguments = tuple(here.build_arguments(arguments)) if here is not None else arguments
    return await VllmEngine.start(arguments, on_events=setup.on_engine_events, on_metrics=setup.on_metrics)


class EngineEvents:
    """Listens on a loopback port of its own. After a lost message everything counts as gone: what comes later is right,
    and routers only think too little of this worker.
    """

    def __init__(self, zmq: Any, on_events: Callable[[list[EngineEvent]], Any]) -> None:
        self._on_events = on_events
        self._socket = zmq.Context.instance().socket(_SUBSCRIBE)
        self._socket.setsockopt(_LINGER, 0)
        self._socket.subscribe(b"")
        self.address = f"tcp://127.0.0.1:{self._socket.bind_to_random_port('tcp://127.0.0.1')}"
        self._expected = -1
        self._task = asyncio.ensure_future(self._receive_messages())

    async def close(self) -> None:
        """Stop listening."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._socket.close()

    async def _receive_messages(self) -> None:
        while True:
            frames = await self._socket.recv_multipart()
            self.read_message(frames)

    def read_message(self, frames: list[bytes]) -> None:
        """One message: topic, number, events. Source: vLLM's ZmqEventPublisher."""
        try:
            number, events = int.from_bytes(frames[1], "big"), decode_batch(frames[2])
        except (ValueError, IndexError) as error:
            logger.warning("a message of vLLM is not understood: %s", error)
            return
        if 0 <= self._expected != number:
            logger.warning("messages of vLLM were lost: %s came where %s was expected", number, self._expected)
            events.insert(0, AllCleared())
        self._expected = number + 1
        self._on_events(events)


_SUBSCRIBE, _LINGER = 2, 17
"""ZeroMQ's numbers of a socket type and an option: its package comes with vLLM and is not loaded before."""
