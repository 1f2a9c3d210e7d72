"""The documents that benchmarks and campaigns write: what is not run again stays in them as it was."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from types import ModuleType

import pytest

from campaign import run as campaign_run


@pytest.fixture
def bench() -> ModuleType:
    """`tests/bench/run.py`, which is a program."""
    path = campaign_run.TESTS / "bench" / "run.py"
    found = importlib.util.spec_from_file_location("bench_run", path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_campaign_remembers_its_rows() -> None:
    """The document is read back whole, with what was counted, by machine; each run has a row and no other has."""
    text = campaign_run.DOCUMENT.read_text()
    rows = {campaign_run.run_of(row.name): row for row in campaign_run.recall(text)}
    known = [campaign_run.run_of(name) for name, _, _ in campaign_run.rows()]
    assert set(rows) == set(known)
    assert campaign_run.document([rows[name] for name in known]) == text
    assert any(row.notes for row in rows.values())
    first, second, *_ = rows.values()
    elsewhere = [replace(first, machine="64 cores"), second, replace(first, name="other", notes=("a", "", "b"))]
    assert sorted(campaign_run.recall(campaign_run.document(elsewhere)), key=repr) == sorted(elsewhere, key=repr)


def test_a_table_that_is_measured_again_takes_its_place(bench: ModuleType) -> None:
    """All other tables stay; new ones come behind the one that was measured before them."""
    text = bench.DOCUMENT.read_text()
    assert bench.document(text, {}) == text
    before = bench.document(bench.HEAD, {title: f"{title}\n\n*old*" for title in "abc"})
    after = bench.document(before, {"b": "b\n\n*new*", "x": "x\n\n*new*"})
    assert after == bench.document(
        bench.HEAD, {title: f"{title}\n\n*{'new' if title in 'bx' else 'old'}*" for title in "abxc"}
    )
    assert bench.document(after, {}) == after


def test_a_table_says_when_it_was_measured(bench: ModuleType) -> None:
    """The day, the machine and its load are above the table, the notes below it."""
    table = {"title": "t", "columns": ["a", "b"], "rows": [[1, "x"]], "notes": ["n"], "load": 0.25}
    title, told, *rest = bench.section(table).split("\n\n")
    assert title == "t"
    assert told.endswith("load average when it began: 0.2.*") and f"Python {sys.version.split()[0]}" in told
    assert rest == ["| a | b |\n|---|---|\n| 1 | x |", "* n"]
