"""What an image can import, before there is a lock and with one."""

from __future__ import annotations

import pytest

from dynamo_build.graph.available import find_provided_modules, modules_of
from dynamo_build.model.plan import LocalPackage, Lock, LockedPackage, Requirements
from dynamo_build.packages import runtime_wheel


@pytest.mark.parametrize(
    ("name", "modules"),
    [
        ("Scikit_Learn", {"sklearn", "scikit_learn"}),
        ("opencv-python", {"cv2"}),
        ("google-cloud-storage", {"google", "google_cloud_storage"}),
        ("nvidia-ml-py", {"pynvml"}),
        ("PyYAML", {"yaml"}),
    ],
)
def test_a_distribution_has_the_modules_of_its_name_and_of_the_table(name: str, modules: set[str]) -> None:
    """Whatever the spelling."""
    assert modules <= modules_of(name)


def test_the_library_follows_the_python() -> None:
    """What was dropped is not there, and what came is."""
    old, new = find_provided_modules(Requirements(python="3.11")), find_provided_modules(Requirements(python="3.14"))
    assert "distutils" in old and "distutils" not in new
    assert "annotationlib" in new and "annotationlib" not in old
    assert "json" in old and "json" in new


def test_before_a_lock_it_is_complete_when_nothing_is_asked_for() -> None:
    """The runtime's own packages are known; what others need is not."""
    own = runtime_wheel.list_runtime_requirements()
    assert find_provided_modules(Requirements(lines=own)).complete
    assert not find_provided_modules(Requirements(lines=(*own, "fastapi>=0.1"))).complete
    assert "fastapi" in find_provided_modules(Requirements(lines=(*own, "fastapi>=0.1; python_version > '3'")))
    local = Requirements(lines=own, local=(LocalPackage(name="my-lib", path="lib", digest=""),))
    assert "my_lib" in find_provided_modules(local) and not find_provided_modules(local).complete


def test_stand_ins_are_never_what_every_image_has() -> None:
    """pydantic and the SDK are imported for real, the standard library too."""
    packages = tuple(LockedPackage(name=name, version="1") for name in ("pydantic", "pydantic-core", "torch", "json"))
    has = find_provided_modules(
        Requirements(), Lock(python="3.11", packages={"linux/amd64": packages}), base=("vllm.x",)
    )
    assert {"torch", "vllm"} <= set(has.stand_ins)
    assert not {"pydantic", "pydantic_core", "dynamo", "json"} & set(has.stand_ins)
