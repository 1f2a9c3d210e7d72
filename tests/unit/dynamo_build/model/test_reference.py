"""References of images by the registry that they name."""

from __future__ import annotations

import pytest

from dynamo_build.errors import UsageError
from dynamo_build.model.reference import ImageReference

DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("text", "host", "scheme", "path"),
    [
        ("tiny:team/app:1", "tiny:", "tiny", "team/app"),
        (f"tiny:team/app@{DIGEST}", "tiny:", "tiny", "team/app"),
        ("tiny:5000/app:1", "tiny:5000", "", "app"),
        ("localhost:5000/app", "localhost:5000", "", "app"),
        ("registry.example:5000/team/app:1", "registry.example:5000", "", "team/app"),
        ("tiny:1", "", "", "tiny"),
        ("oci:/folder:1", "oci:", "", "folder"),
    ],
)
def test_a_scheme_is_no_host_and_no_tag(text: str, host: str, scheme: str, path: str) -> None:
    """It is followed by a path with a slash, a host by digits, a name by its tag; each is written as it was read."""
    reference = ImageReference.parse(text)
    assert (reference.host, reference.scheme, reference.path, str(reference)) == (host, scheme, path, text)


@pytest.mark.parametrize("text", ["http://host/app", "localhost:team/app", "tiny:app:1", "Tiny:team/app", "tiny:/"])
def test_what_is_no_reference(text: str) -> None:
    """Addresses, hosts with a bad port, and schemes without a path."""
    with pytest.raises(UsageError):
        ImageReference.parse(text)
