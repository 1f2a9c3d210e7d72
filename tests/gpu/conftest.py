"""Tests that need a GPU: left out, and said so, where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is in this folder on a machine without a GPU."""
    if list(Path("/dev").glob("nvidia[0-9]*")):
        return
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="no GPU on this machine (make test-gpu)"))
