"""The planner: how many workers a graph needs, and who makes them."""

from dynamo.llm.planner.planner_service import planner

__all__ = ["planner"]
