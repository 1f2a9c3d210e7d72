"""Machines with GPUs, as NVML describes them: for processes that find `recorded/pynvml.py` on their path."""

from __future__ import annotations

import json
from pathlib import Path

PATH = str(Path(__file__).parent / "recorded")


def machine(count: int) -> dict[str, str]:
    """The environment of a process on a machine with that many GPUs."""
    devices = [[f"GPU-{number:08x}-0000-1111-2222-333344445555", "H100", 80 << 30] for number in range(1, count + 1)]
    return {"RECORDED_NVML": json.dumps(devices)}
