"""`pytest --stalls`: all processes of a run stand still at once for a moment, again and again, while clocks go on.

That is what tests meet on a machine whose host is busy. Needs root and a version 2 control group (`cgroup.freeze`,
docs.kernel.org/admin-guide/cgroup-v2.html).
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

#: Seconds between two stalls, and of one.
APART, STALL = (0.2, 1.2), (0.3, 0.9)


def begin() -> Callable[[], None]:
    """Move this process, with all that it will start, into a group that is stopped now and then; gives what ends it."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    root = next((Path(mount[1]) for mount in mounts if mount[2] == "cgroup2"), None)
    if root is None or os.geteuid() != 0:
        raise RuntimeError("--stalls needs root and a version 2 control group")
    line = next(line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    before = root / line.removeprefix("0::/")
    group = root / f"dynamo-stalls-{os.getpid()}"
    group.mkdir()
    watcher = subprocess.Popen([sys.executable, __file__, str(group)], stdin=subprocess.PIPE)
    (group / "cgroup.procs").write_text(str(os.getpid()))

    def end() -> None:
        (before / "cgroup.procs").write_text(str(os.getpid()))
        watcher.communicate()

    return end


def main() -> None:
    """Stop and go until whoever started this closes our input; then all go on, and the group is removed."""
    group, chance = Path(sys.argv[1]), random.Random()
    os.set_blocking(0, False)
    count = 0
    while _open():
        time.sleep(chance.uniform(*APART))
        (group / "cgroup.freeze").write_text("1")
        time.sleep(chance.uniform(*STALL))
        (group / "cgroup.freeze").write_text("0")
        count += 1
    print(f"stood still {count} times", file=sys.stderr)
    for pid in (group / "cgroup.procs").read_text().split():
        (group.parent / "cgroup.procs").write_text(pid)
    group.rmdir()


def _open() -> bool:
    try:
        return os.read(0, 1) != b""
    except BlockingIOError:
        return True


if __name__ == "__main__":
    main()
