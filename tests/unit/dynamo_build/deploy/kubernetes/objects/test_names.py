"""Names: whatever a service is called, Kubernetes accepts what comes out."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_build.deploy.kubernetes.objects import names


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Frontend", "frontend"),
        ("TextProcessor", "text-processor"),
        ("VLLMWorker", "vllm-worker"),
        ("hello_world", "hello-world"),
        ("1234e56", "x1234e56"),
    ],
)
def test_ordinary_names_stay_readable(text: str, label: str) -> None:
    """An ordinary class name becomes words, without a hash."""
    assert names.dns_label(text) == label


@given(st.text(min_size=1, max_size=90))
def test_any_text_becomes_a_label(text: str) -> None:
    """Any text becomes an RFC 1035 label of at most 63."""
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", names.dns_label(text))


@given(st.lists(st.text(min_size=1, max_size=90), unique=True, max_size=8))
def test_labels_of_services_are_distinct(services: list[str]) -> None:
    """Two services never share a label."""
    labels = names.service_labels(services)
    assert len(set(labels.values())) == len(services)


def test_clashes_and_reserved_names_get_a_hash() -> None:
    """What differs only in case, or is called as one of our objects, is told apart."""
    labels = names.service_labels(["Worker", "worker", "Nats", "Other"])
    assert labels["Other"] == "other"
    assert all(re.fullmatch(r".+-[0-9a-f]{6}", labels[name]) for name in ("Worker", "worker", "Nats"))


def test_seventy_characters_are_cut_with_a_hash() -> None:
    """A long name fits, and two long names that differ at the end differ still."""
    first, second = "A" * 69 + "b", "A" * 69 + "c"
    assert len(names.dns_label(first)) <= 63
    assert names.dns_label(first) != names.dns_label(second)
    assert len(names.object_name("d" * 40, names.dns_label(first))) <= 63


@given(st.text(max_size=90))
def test_label_values_are_valid(text: str) -> None:
    """Any text becomes a label value."""
    assert names.is_label_value(names.label_value(text))


@pytest.mark.parametrize(
    ("key", "valid"),
    [("app", True), ("a.example/b", True), ("A.example/b", False), ("a b", False), ("/b", False), ("a/", False)],
)
def test_label_keys(key: str, valid: bool) -> None:
    """A key is a name, with a DNS prefix or without."""
    assert names.is_label_key(key) is valid
