"""Waiting for what comes by itself, with more patience than any machine needs: no test fails because one stood still."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

PATIENCE = 60.0


async def eventually(condition: Callable[[], Any], met: Callable[[], object] = lambda: "it never came") -> None:
    """Go on when the condition holds. Raises AssertionError with what was met instead."""
    loop = asyncio.get_running_loop()
    until = loop.time() + PATIENCE
    while not condition():
        assert loop.time() < until, met()
        await asyncio.sleep(0.01)


def wait_until(condition: Callable[[], Any], met: Callable[[], object] = lambda: "it never came") -> None:
    """As `eventually`, outside of an event loop."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, met()
        time.sleep(0.02)
