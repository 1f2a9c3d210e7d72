"""Documents from outside."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_build.errors import RegistryError
from dynamo_build.oci import documents

DIGEST = "sha256:" + "a" * 64
NAMES = st.sampled_from(["layers", "manifests", "config", "digest", "size", "mediaType", "platform", "diff_ids", "os"])
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)


def index(*platforms: tuple[str, str]) -> dict[str, Any]:
    return {
        "manifests": [
            {"digest": DIGEST, "size": 1, "platform": {"os": os, "architecture": arch}} for os, arch in platforms
        ]
    }


def test_the_platform_is_chosen() -> None:
    """An index gives the manifest of the platform, or says what it has."""
    assert documents.choose_manifest(index(("linux", "arm64"), ("linux", "amd64")), "linux/amd64", "base") == DIGEST
    with pytest.raises(RegistryError, match="no image for linux/amd64, only for linux/arm64"):
        documents.choose_manifest(index(("linux", "arm64")), "linux/amd64", "base")


def test_docker_layers_become_oci_layers() -> None:
    """The same bytes under the OCI media type."""
    kind = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    found = documents.list_layers({"layers": [{"digest": DIGEST, "size": 3, "mediaType": kind}]}, "it")
    assert found == [(DIGEST, 3, "application/vnd.oci.image.layer.v1.tar+gzip")]


@pytest.mark.parametrize(
    "layer",
    [
        {},
        {"digest": DIGEST},
        {"digest": "sha256:../../x", "size": 1},
        {"digest": DIGEST, "size": -1},
        {"digest": DIGEST, "size": 1, "mediaType": "x/y"},
    ],
)
def test_bad_layers_are_refused(layer: dict[str, Any]) -> None:
    """A descriptor without a digest, a size or a kind that we know is an error of one line."""
    with pytest.raises(RegistryError):
        documents.list_layers({"layers": [layer]}, "it")


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"{" * 100_000, b"[" * 100_000])
def test_what_is_no_object_is_refused(content: bytes) -> None:
    """Not JSON, not an object, or nested without end."""
    with pytest.raises(RegistryError):
        documents.parse_document(content, "it")


def test_large_documents_are_refused() -> None:
    """A document beyond the limit is not parsed."""
    with pytest.raises(RegistryError, match="larger"):
        documents.parse_document(b" " * (documents.LARGEST + 1), "it")


@given(st.dictionaries(st.sampled_from(["layers", "manifests", "config", "rootfs", "mediaType"]), JSON))
def test_any_document_gives_an_answer_or_one_error(document: dict[str, Any]) -> None:
    """Whatever the shape, the only failure is RegistryError."""
    parsed = documents.parse_document(json.dumps(document).encode(), "it")
    documents.is_index(parsed)
    for read in (
        lambda: documents.list_layers(parsed, "it"),
        lambda: documents.choose_manifest(parsed, "linux/amd64", "it"),
        lambda: documents.list_diff_ids(parsed, "it"),
        lambda: documents.parse_descriptor(parsed.get("config"), "it"),
    ):
        try:
            read()
        except RegistryError:
            pass
