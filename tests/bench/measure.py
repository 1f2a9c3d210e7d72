"""Whole-process cost of a command: CPU seconds of it and all its children, wall seconds, peak memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """`cpu` and `wall` in seconds, `memory` the peak resident set of the largest process in bytes."""

    cpu: float
    wall: float
    memory: int


def once(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Cost:
    """Run the command once. Raises RuntimeError with the end of its output when it fails."""
    begun = time.monotonic()
    child = subprocess.Popen(
        command, cwd=folder, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert child.stdout is not None
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    child.stdout.close()
    if child.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {output.decode(errors='replace')[-400:]}")
    return Cost(cpu=usage.ru_utime + usage.ru_stime, wall=time.monotonic() - begun, memory=usage.ru_maxrss * 1024)


def interleaved(commands: Mapping[str, tuple[Sequence[str], Path, Mapping[str, str]]], rounds: int) -> dict[str, Cost]:
    """Medians over rounds in which every command runs once, after one round that warms caches."""
    seen: dict[str, list[Cost]] = {name: [] for name in commands}
    for turn in range(rounds + 1):
        for name, (command, folder, environment) in commands.items():
            cost = once(command, folder, environment)
            if turn:
                seen[name].append(cost)
    return {name: median(costs) for name, costs in seen.items()}


def median(costs: Sequence[Cost]) -> Cost:
    """The median of each figure by itself."""
    return Cost(
        cpu=statistics.median(cost.cpu for cost in costs),
        wall=statistics.median(cost.wall for cost in costs),
        memory=int(statistics.median(cost.memory for cost in costs)),
    )
