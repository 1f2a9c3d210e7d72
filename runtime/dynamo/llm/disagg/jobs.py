"""Messages between decode and prefill workers: a prompt in the queue, and the reply."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

import msgspec

from dynamo.coordination.queues import Queue, Queues
from dynamo.llm.disagg.policy import KvHandoff
from dynamo.llm.generation import EngineRequest, EngineStep

ATTEMPTS = 3
"""So often a prompt is given to prefill workers before it is set aside among the dead."""
SILENCE_SECONDS = 5.0
"""A prefill worker that says nothing for so long loses its prompt to another one."""


class PrefillJob(msgspec.Struct, frozen=True):
    """A prompt in the queue: the decode worker that waits for it, and until when (seconds since the epoch)."""

    worker: int
    until: float
    request: EngineRequest


class Prefilled(msgspec.Struct, frozen=True):
    """The word back: how to get the blocks, or why there are none."""

    request: str
    handoff: KvHandoff | None = None
    problem: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Prefilled).decode


def encode_reply(word: Prefilled) -> bytes:
    """A word back as it travels."""
    return _encode(word)


def decode_reply(body: bytes) -> Prefilled:
    """A word back. Raises ValueError when it is none."""
    return _decode(body)


def prefill_queue(queues: Queues, namespace: str, model: str, silence: float = SILENCE_SECONDS) -> Queue:
    """The queue of prompts for a model."""
    return queues.queue(namespace, f"prefill.{model}", patience=silence, attempts=ATTEMPTS)


class Generates(Protocol):
    """What is needed of an engine here: one that can be stopped in the middle."""

    def generate(self, request: EngineRequest) -> AsyncGenerator[EngineStep, None]:
        """The steps of an answer."""
