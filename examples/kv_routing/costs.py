"""A cost function of one's own: `router-cost: costs:patient` in config.yaml."""

from collections.abc import Sequence

from dynamo.llm import Candidate, Prompt


def patient(prompt: Prompt, candidates: Sequence[Candidate]) -> list[float]:
    """Tokens to prefill, and 500 more for each request that waits; the lowest is chosen."""
    return [
        one.work.prefill_tokens + prompt.missing_tokens(one) + 500 * one.metrics.num_requests_waiting
        for one in candidates
    ]
