"""Every file-system call of a command, seen by strace, and the command killed at one of them."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_LINE = re.compile(r"(?:\[pid +\d+\] |(\d+) +)?(\w+)\(")


@dataclass(frozen=True, slots=True)
class Call:
    """The n-th call of a name that the command's own process makes."""

    name: str
    number: int


def usable() -> bool:
    """Whether strace is here and may trace."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], capture_output=True).returncode == 0


def calls(command: Sequence[str], below: str, folder: Path, environment: Mapping[str, str]) -> list[Call]:
    """All calls of a whole run that touch a path or an open file below a folder, in their order."""
    with tempfile.NamedTemporaryFile() as log:
        trace = ["strace", "-f", "-y", "-s", "4096", "-o", log.name, "-e", "trace=%file,%desc"]
        done = subprocess.run([*trace, *command], cwd=folder, env=dict(environment), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        lines = Path(log.name).read_text(errors="replace").splitlines()
    main = lines[0].split()[0]
    found, seen = [], Counter[str]()
    for line in lines:
        process, _, rest = line.partition(" ")
        match = _LINE.match(rest.lstrip())
        if process != main or match is None:
            continue
        seen[match[2]] += 1
        if below in rest:
            found.append(Call(match[2], seen[match[2]]))
    return found


def killed_at(call: Call, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> bool:
    """Run the command until it enters that call; False when it ended before."""
    inject = f"inject={call.name}:signal=SIGKILL:when={call.number}"
    trace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call.name}", "-e", inject]
    done = subprocess.run([*trace, *command], cwd=folder, env=dict(environment), capture_output=True, text=True)
    assert done.returncode in (0, -9, 137), done.stderr
    return done.returncode != 0
