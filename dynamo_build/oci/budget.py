"""Size limits of images, and the error when one is exceeded."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dynamo_build.errors import UsageError

_UNITS = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 1 << 10,
    "mi": 1 << 20,
    "gi": 1 << 30,
    "ti": 1 << 40,
}
_TOP = 3


def parsed(text: str) -> int:
    """The bytes of `500MB`, `1.5GiB` or `800000000`; 0 for "". Raises UsageError."""
    if not text:
        return 0
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?", text.strip(), re.IGNORECASE)
    if not match:
        raise UsageError(f"`{text}` is not a size", ["Write it as `500MB`, `1.5GiB` or a number of bytes."])
    return int(float(match[1]) * _UNITS[(match[2] or "").lower()])


def exceeded(limit: int, size: int, layers: Sequence[tuple[str, int]]) -> tuple[str, list[str]] | None:
    """The message and the hints where the size is over the limit, with what is largest."""
    if size <= limit:
        return None
    largest = sorted(layers, key=lambda item: -item[1])[:_TOP]
    told = ", ".join(f"{name or 'base'} {count / 1e6:.1f} MB" for name, count in largest)
    return (
        f"the image has {size / 1e6:.1f} MB, its budget is {limit / 1e6:.1f} MB",
        [*([f"The largest layers are {told}."] if told else ()), "See `dynamo image size` for what is in it."],
    )
