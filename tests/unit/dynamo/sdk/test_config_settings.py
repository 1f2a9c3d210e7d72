"""Values of a configuration are of the right kind, or named."""

from __future__ import annotations

import pytest

from dynamo.sdk.config import read_setting
from dynamo.sdk.errors import BadConfiguration


def test_by_either_spelling():
    """Dashes or underscores; what is not said is the default; a whole number is a float."""
    values = {"a-key": 1, "b_key": 2, "share": 3}
    assert (read_setting(values, "a-key", 9), read_setting(values, "b-key", 9), read_setting(values, "c-key", 9)) == (
        1,
        2,
        9,
    )
    share = read_setting(values, "share", 0.5)
    assert (share, type(share)) == (3.0, float)
    assert read_setting({"on": False}, "on", True) is False


@pytest.mark.parametrize(
    ("value", "default", "said"),
    [
        (True, 1, "`a-key` cannot be True"),
        (1, True, "`a-key` cannot be 1"),
        ("1", 1, "`a-key` cannot be '1'"),
        (None, "x", "`a-key` cannot be None"),
        (1.5, 1, "`a-key` cannot be 1.5"),
        (-1, 1, "`a-key` cannot be -1; the least is 0"),
        (-1, 1.0, "`a-key` cannot be -1; the least is 0"),
    ],
)
def test_what_is_none(value, default, said):
    """The key, what it is, and the least that it may be."""
    with pytest.raises(BadConfiguration) as caught:
        read_setting({"a_key": value}, "a-key", default, least=0)
    assert str(caught.value) == said
