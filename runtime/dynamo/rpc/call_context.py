"""Context of a call, passed on through every hop: its request id, its trace, and until when it may take."""

from __future__ import annotations

import itertools
import os
import random
import secrets
import time
from contextvars import ContextVar

import msgspec

REQUEST_ID = "x-request-id"
TRACE = "traceparent"
TRACE_STATE = "tracestate"

_count = itertools.count(1)
_prefix = secrets.token_hex(6)


def _renew_prefix() -> None:
    global _prefix
    _prefix = secrets.token_hex(6)


os.register_at_fork(after_in_child=_renew_prefix)


class CallContext(msgspec.Struct, frozen=True, kw_only=True):
    """The call that this task works for. `deadline` is on the monotonic clock; 0: none."""

    request_id: str = ""
    traceparent: str = ""
    tracestate: str = ""
    deadline: float = 0.0

    def build_headers(self) -> dict[str, str]:
        """What the next hop is told."""
        found = {REQUEST_ID: self.request_id or new_request_id()}
        if self.traceparent:
            found[TRACE] = self.traceparent
        if self.tracestate:
            found[TRACE_STATE] = self.tracestate
        return found


current: ContextVar[CallContext | None] = ContextVar("dynamo_call", default=None)


def new_request_id() -> str:
    """An id that no other request has."""
    return f"{_prefix}-{next(_count)}"


def new_trace() -> str:
    """A new W3C trace context, sampled."""
    return f"00-{random.getrandbits(128):032x}-{random.getrandbits(64):016x}-01"


def child_trace(traceparent: str) -> str:
    """The same trace with a span of its own; a new trace when the text is not a trace context."""
    parts = traceparent.split("-")
    if len(parts) < 4 or len(parts[1]) != 32 or len(parts[2]) != 16 or parts[0] == "ff":
        return new_trace()
    return f"00-{parts[1]}-{secrets.token_hex(8)}-{parts[3][:2]}"


def build_outgoing_headers() -> tuple[dict[str, str], float]:
    """The headers of a call made now, and the seconds left for it (0: any; below 0: the time is up)."""
    context = current.get()
    if context is None:
        return {REQUEST_ID: new_request_id(), TRACE: new_trace()}, 0.0
    if not context.deadline:
        return context.build_headers(), 0.0
    return context.build_headers(), (context.deadline - time.monotonic()) or -1.0


def parse_incoming_context(headers: dict[str, str], timeout: float) -> CallContext:
    """The context of a call that arrived."""
    return CallContext(
        request_id=headers.get(REQUEST_ID, ""),
        traceparent=headers.get(TRACE, ""),
        tracestate=headers.get(TRACE_STATE, ""),
        deadline=time.monotonic() + timeout if timeout > 0 else 0.0,
    )
