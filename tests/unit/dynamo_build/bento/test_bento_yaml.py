"""bento.yaml out and in."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo.sdk import codec
from dynamo_build.bento import bento_yaml
from dynamo_build.errors import StoreError
from dynamo_build.model.bento import BentoManifest
from support.effort import examples
from support.projects import GRAPH, LOCK

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)


def manifest(**more: Any) -> BentoManifest:
    values: dict[str, Any] = {
        "name": "frontend",
        "version": "a1",
        "graph": GRAPH,
        "python": "3.11",
        "platforms": ("linux/amd64",),
        "files_digest": "sha256:" + "0" * 64,
        "files_count": 1,
        "files_size": 1,
        "lock": LOCK,
        "runtime": "x.whl",
        "runtime_digest": "sha256:" + "1" * 64,
    }
    return BentoManifest(**{**values, **more})


@settings(max_examples=examples(150), deadline=None)
@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_any_configuration_survives(config: dict[str, Any]) -> None:
    """What is written is YAML, and any reader gets the same values back."""
    content = bento_yaml.format_manifest(manifest(config=config))
    assert yaml.safe_load(content)["config"] == codec.to_plain(config)
    assert bento_yaml.parse_manifest(content) == manifest(config=config)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"a: [",
        b"\xff",
        b"format: 1",
        b"format: 99",
        b"format: 1\nname: 1",
        b"&a [*a]",
        b"x: " + b"[" * 5000,
    ],
)
def test_a_damaged_document_is_one_line(content: bytes) -> None:
    """Whatever stands there, the error is a StoreError of one line."""
    with pytest.raises(StoreError) as caught:
        bento_yaml.parse_manifest(content)
    assert "\n" not in caught.value.message


@settings(max_examples=examples(60), deadline=None)
@given(st.binary(max_size=60), st.integers(0, 2000))
def test_fuzzed_documents(noise: bytes, place: int) -> None:
    """A manifest with noise in it is read or refused, and nothing else."""
    content = bento_yaml.format_manifest(manifest())
    try:
        bento_yaml.parse_manifest(content[:place] + noise + content[place:])
    except StoreError:
        pass
