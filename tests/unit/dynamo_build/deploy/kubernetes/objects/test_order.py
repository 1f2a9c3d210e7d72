"""The order of applying."""

from __future__ import annotations

from dynamo_build.deploy.kubernetes.objects.order import sort_key


def test_kinds_then_names_and_strangers_last() -> None:
    """A namespace before its content, an unknown kind at the end."""
    documents = [
        {"kind": "Strange", "metadata": {"name": "a"}},
        {"kind": "Service", "metadata": {"name": "b"}},
        {"kind": "Service", "metadata": {"name": "a"}},
        {"kind": "Namespace", "metadata": {"name": "z"}},
    ]
    assert [item["metadata"]["name"] for item in sorted(documents, key=sort_key)] == ["z", "a", "b", "a"]
