"""YAML in and out."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dynamo_build.errors import StoreError
from dynamo_build.system.yaml import emit_yaml, quote_yaml, read_yaml

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_documents_survive(document: dict[str, Any]) -> None:
    """Whatever JSON can say is read back the same, floats without a point too."""
    written = emit_yaml(document, quote_yaml, quote_yaml)
    assert yaml.safe_load(written) == (document or None)
    assert read_yaml(written.encode(), "it") == (document or None)


def test_form() -> None:
    """Block style; a list stands under its key without another indent."""
    document = {"a": [{"b": 1, "c": []}, ["d", [1e16]]], "e": {}}
    written = emit_yaml(document, str, lambda text: quote_yaml(text, {"\n": "\\n"}))
    assert written == 'a:\n- b: 1\n  c: []\n-\n  - "d"\n  -\n    - 1.0e+16\ne: {}\n'
    assert quote_yaml("a\n", {"\n": "\\n"}) == '"a\\n"' and quote_yaml("a\n") == '"a\\u000a"'


def test_what_is_no_yaml() -> None:
    """It is named with its line; what JSON does not have is not written."""
    with pytest.raises(StoreError, match=r"^it:\d: not YAML"):
        read_yaml(b"a: 1\nb: [", "it")
    with pytest.raises(TypeError, match="a set cannot be written"):
        emit_yaml({"a": {1}}, str, quote_yaml)
    with pytest.raises(ValueError, match="not JSON compliant"):
        emit_yaml({"a": float("nan")}, str, quote_yaml)
