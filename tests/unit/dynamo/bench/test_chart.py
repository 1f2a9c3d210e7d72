"""Charts as SVG."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.bench.chart import HEIGHT, WIDTH, line_chart

NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=32)


def test_series_become_lines():
    """One line and one legend entry each; text is escaped; the same input gives the same picture."""
    series = {"kv < all": [(1, 2.0), (10, 3.0), (100, float("nan"))], "random": [(1, 5.0)]}
    text = line_chart("TTFT & more", "workers", "ms", series, log_x=True)
    root = ElementTree.fromstring(text)
    lines = [item for item in root if item.tag.endswith("polyline")]
    assert [len(line.get("points").split()) for line in lines] == [2, 1]
    words = [item.text for item in root if item.tag.endswith("text")]
    assert {"TTFT & more", "kv < all", "random", "workers", "ms", "1", "10"} <= set(words)
    assert text == line_chart("TTFT & more", "workers", "ms", series, log_x=True)


def test_nothing_to_draw():
    """No point is an error, not an empty picture."""
    with pytest.raises(ValueError, match="nothing to draw"):
        line_chart("a", "b", "c", {"d": [(0.0, 1.0)]}, log_x=True)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=8), st.booleans())
def test_every_point_is_in_the_picture(points, log_x):
    """Whatever the numbers, the document is well-formed and each place is inside."""
    try:
        root = ElementTree.fromstring(line_chart("t", "x", "y", {"s": points}, log_x=log_x))
    except ValueError:
        return
    for line in (item for item in root if item.tag.endswith("polyline")):
        for place in line.get("points").split():
            x, y = map(float, place.split(","))
            assert -1 <= x <= WIDTH + 1 and -1 <= y <= HEIGHT + 1
