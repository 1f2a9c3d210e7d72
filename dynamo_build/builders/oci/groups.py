"""Division of packages into layers, so that a new version of one package replaces one layer.

A package's group rests on its name alone: it is the same in every lock, on every machine and after every upgrade. What
is known to be large is alone; all others share a few groups.
"""

from __future__ import annotations

import fnmatch
import hashlib
from dataclasses import dataclass, replace

from dynamo_build.model.image import PackagesLayer
from dynamo_build.model.plan import LockedPackage
from dynamo_build.packages import lockfile

#: Groups of packages that are not known to be large.
OTHERS = 6
#: Names that are alone, and patterns of families that are always upgraded together; the first that fits counts.
_LARGE = (
    "nvidia-cudnn*", "nvidia-cublas*", "nvidia-nccl*", "nvidia-cusparselt*", "nvidia-*",
    "torch", "torchvision", "torchaudio", "triton", "vllm", "sglang", "flashinfer*", "flash-attn*", "xformers",
    "xgrammar", "outlines-core", "llguidance", "bitsandbytes", "deepspeed", "tensorrt*", "ray", "cupy*", "numba",
    "llvmlite", "jaxlib", "tensorflow*", "onnxruntime*", "onnx", "numpy", "scipy", "pandas", "polars*", "pyarrow",
    "duckdb", "scikit-learn", "scikit-image", "sympy", "transformers", "tokenizers", "sentencepiece", "opencv*",
    "pillow", "matplotlib", "lxml", "grpcio", "cryptography", "botocore", "av", "soundfile", "spacy", "faiss*",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Some of the packages of a layer, under a name for reports."""

    name: str
    layer: PackagesLayer


def groups(planned: PackagesLayer) -> tuple[Group, ...]:
    """The groups that are not empty, in the order of their names, the large ones first. Raises LockError."""
    found: dict[str, list[LockedPackage]] = {}
    for package in lockfile.parse(planned.requirements, "the locked requirements"):
        found.setdefault(group_of(package.name), []).append(package)
    order = sorted(found, key=lambda name: (name.startswith("others-"), name))
    return tuple(
        Group(
            name=f"packages: {_told(name, found[name])}",
            layer=replace(planned, packages=tuple(found[name]), requirements=lockfile.requirements(tuple(found[name]))),
        )
        for name in order
    )


def group_of(name: str) -> str:
    """The group of a package with this normalised name."""
    for pattern in _LARGE:
        if fnmatch.fnmatchcase(name, pattern):
            return pattern.rstrip("-*")
    return f"others-{hashlib.sha256(name.encode()).digest()[0] % OTHERS}"


def _told(group: str, packages: list[LockedPackage]) -> str:
    names = [package.name for package in packages]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") or group
