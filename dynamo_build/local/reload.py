"""Change detection for `serve --reload`."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

_SUFFIXES = (".py", ".yaml", ".yml", ".toml")
_LEFT_OUT = frozenset({"__pycache__", "node_modules", "site-packages"})


class Watching:
    """Call it with how many seconds it may wait: it says whether a file of the code changed, and settled, since."""

    def __init__(self, folder: Path, also: Sequence[Path] = ()) -> None:
        self._folder = folder
        self._also = also
        self._seen = self._stamps()

    def __call__(self, seconds: float) -> bool:
        time.sleep(seconds)
        now = self._stamps()
        if now == self._seen:
            return False
        while (later := self._settled()) != now:  # an editor is still writing
            now = later
        self._seen = now
        return True

    def _settled(self) -> dict[str, tuple[int, int]]:
        time.sleep(0.05)
        return self._stamps()

    def _stamps(self) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for parent, folders, names in os.walk(self._folder):
            folders[:] = [
                name
                for name in folders
                if not name.startswith(".") and name not in _LEFT_OUT and not _venv(parent, name)
            ]
            for name in names:
                if name.endswith(_SUFFIXES) and not name.startswith("."):
                    _note(Path(parent, name), found)
        for path in self._also:
            _note(path, found)
        return found


def _venv(parent: str, name: str) -> bool:
    return Path(parent, name, "pyvenv.cfg").exists()


def _note(path: Path, into: dict[str, tuple[int, int]]) -> None:
    try:
        state = path.stat()
    except OSError:
        return
    into[str(path)] = (state.st_mtime_ns, state.st_size)
