"""References in a configuration."""

from __future__ import annotations

import pytest

from dynamo.sdk.references import MissingReference, resolve_references


def test_resolved():
    """Variables and secrets are put in, at any depth; other text stays."""
    environment = {"HOME_TOKEN": "t", "DYNAMO_SECRET_HF_API_KEY": "k"}
    value = {"a": ["${env:HOME_TOKEN}"], "b": "Bearer ${secret:hf/api-key}", "c": "${HOME}", "d": 1}
    assert resolve_references(value, environment) == {"a": ["t"], "b": "Bearer k", "c": "${HOME}", "d": 1}


def test_missing():
    """A variable that is not set is named."""
    with pytest.raises(MissingReference, match="DYNAMO_SECRET_HF_KEY is not set"):
        resolve_references("${secret:hf/key}", {})
