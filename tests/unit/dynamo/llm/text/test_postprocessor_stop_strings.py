"""Stop strings across pieces."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from dynamo.llm.text.postprocessor import StopStrings

letters = st.text("ab<", max_size=30)
stops = st.lists(st.text("ab<", min_size=1, max_size=4), max_size=3)


def cut(text, stops):
    """What a slow, obvious reader tells: letter by letter, until the text ends with a stop string."""
    for end in range(1, len(text) + 1):
        hits = [stop for stop in stops if text[:end].endswith(stop)]
        if hits:
            longest = max(hits, key=len)
            return text[: end - len(longest)], longest
    return text, ""


def told(pieces, stops, **options):
    reader = StopStrings(stops, **options)
    parts = [reader.add_text(piece) for piece in pieces]
    return "".join(parts) + reader.flush_text(), reader.found


@given(letters, stops, st.lists(st.integers(0, 30), max_size=6))
def test_pieces_do_not_matter(text, stops, cuts):
    """Whatever the pieces, the text is told up to the first stop string."""
    places = [0, *sorted(min(place, len(text)) for place in cuts), len(text)]
    pieces = [text[start:end] for start, end in itertools.pairwise(places)]
    assert told(pieces, stops) == cut(text, stops)


@given(letters, stops)
def test_nothing_is_told_too_early(text, stops):
    """What was told is never taken back: it is always a beginning of the result."""
    reader, sent = StopStrings(stops), ""
    result, _ = cut(text, stops)
    for letter in text:
        sent += reader.add_text(letter)
        assert result.startswith(sent)


def test_kept():
    """With `keep` the stop string is the end of the text."""
    assert told(["a", "b<", "x"], ["b<"], keep=True) == ("ab<", "b<")


def test_none():
    """Without stop strings nothing is held back."""
    reader = StopStrings([])
    assert reader.add_text("abc") == "abc"
    assert StopStrings([""]).add_text("abc") == "abc"
