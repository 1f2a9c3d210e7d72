"""Which base each service gets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dynamo_build.errors import UsageError
from dynamo_build.image.plan_image import resolve_bases
from dynamo_build.model.image import ContainerizeOptions
from support import handmade


def chosen(
    tmp_path: Path, *given: str, settings: str = "", environment: str = "", image: str = "", bento: str = ""
) -> list[str]:
    made = handmade.bento(tmp_path, images={"Backend": image} if image else {})
    options = ContainerizeOptions(bases=given, base=settings)
    variables = {"DYNAMO_IMAGE": environment} if environment else {}
    return [str(found) for found in resolve_bases(replace(made.manifest, base=bento), options, variables).values()]


def test_the_order_of_places(tmp_path: Path) -> None:
    """Flag, service, environment, settings, bento: the first that says something."""
    everywhere = {"settings": "s:1", "environment": "e:1", "image": "i:1", "bento": "b:1"}
    assert chosen(tmp_path, "f:1", **everywhere) == ["f:1", "f:1"]
    assert chosen(tmp_path, "Frontend=f:1", **everywhere) == ["i:1", "f:1"]
    assert chosen(tmp_path, **everywhere) == ["i:1", "e:1"]
    assert chosen(tmp_path, settings="s:1", bento="b:1") == ["s:1", "s:1"]
    assert chosen(tmp_path, bento="b:1") == ["b:1", "b:1"]


def test_no_base_says_how_to_get_one(tmp_path: Path) -> None:
    """The error names the flag, the variable and the script that makes one."""
    with pytest.raises(UsageError, match="has no base image") as failed:
        chosen(tmp_path)
    assert all(word in " ".join(failed.value.hints) for word in ("--base", "DYNAMO_IMAGE", "container/make_base.py"))


def test_an_unknown_service(tmp_path: Path) -> None:
    """A base for a service that is not there is refused."""
    with pytest.raises(UsageError, match="no service `Fronted`"):
        chosen(tmp_path, "Fronted=f:1")


def test_a_folder_is_a_base(tmp_path: Path) -> None:
    """`oci:FOLDER:TAG`, for one service too."""
    assert chosen(tmp_path, "oci:/x/base:v1", "Backend=oci:/y") == ["oci:/y", "oci:/x/base:v1"]
