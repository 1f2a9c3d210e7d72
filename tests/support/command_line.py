"""Running `dynamo` as a user does: in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def dynamo(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The finished command; `environment` is added to the test's."""
    return subprocess.run(
        [sys.executable, "-m", "dynamo_build", *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
