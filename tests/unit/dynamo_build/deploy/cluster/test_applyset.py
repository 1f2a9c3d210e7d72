"""ApplySet labels."""

from __future__ import annotations

import base64
import hashlib

from dynamo_build.deploy.cluster import applyset


def test_the_identity_is_that_of_the_specification() -> None:
    """`applyset-` + base64url(sha256(name.namespace.kind.group)) without padding + `-v1`."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"a.b.ConfigMap.").digest()).decode().rstrip("=")
    assert applyset.compute_set_id("a", "b") == f"applyset-{digest}-v1"
    assert len(applyset.compute_set_id("a", "b")) <= 63


def test_the_parent_lists_the_kinds() -> None:
    """Sorted, with their groups; the core group has none."""
    kinds = [
        applyset.format_group_kind({"apiVersion": "apps/v1", "kind": "Deployment"}),
        applyset.format_group_kind({"apiVersion": "v1", "kind": "Service"}),
    ]
    parent = applyset.build_parent("a", "b", kinds, "1", {})
    assert parent["metadata"]["annotations"][applyset.CONTAINS] == "Deployment.apps,Service"
    assert parent["metadata"]["labels"][applyset.ID] == applyset.compute_set_id("a", "b")


def test_members_carry_the_label() -> None:
    """The original stays as it was."""
    document = {"kind": "Service", "metadata": {"name": "a", "labels": {"x": "y"}}}
    assert applyset.add_set_label(document, "id")["metadata"]["labels"] == {"x": "y", applyset.PART_OF: "id"}
    assert document["metadata"] == {"name": "a", "labels": {"x": "y"}}
