"""The echo engine."""

from __future__ import annotations

import pytest

from dynamo.engines.echo import EchoEngine
from dynamo.engines.engine import EngineRequest


@pytest.mark.parametrize(
    ("limit", "stop", "said", "reason"), [(9, 99, (1, 2, 3), "stop"), (2, 99, (1, 2), "length"), (9, 2, (1,), "stop")]
)
async def test_it_says_the_prompt_again(limit, stop, said, reason):
    """Token by token, up to the limit or the first stop token."""
    request = EngineRequest(id="a", tokens=(1, 2, 3), max_tokens=limit, stop_tokens=frozenset({stop}))
    engine = EchoEngine()
    steps = [step async for step in engine.generate(request)]
    assert tuple(token for step in steps for token in step.tokens) == said
    assert [step.finish_reason for step in steps if step.finish_reason] == [reason]
    await engine.close()
