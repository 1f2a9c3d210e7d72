"""The planner: how many workers a graph needs, and who makes them."""

from dynamo.llm.planner.service import planner

__all__ = ["planner"]
