"""Rules for the paths of a project that are not packed: ignore files at every depth, and built-in patterns.

Sources: gitignore(5) for `.gitignore` and `.bentoignore`; the Dockerfile reference for `.dockerignore`, whose patterns
are anchored at the folder of the file. At one depth they apply in that order, deeper ones after outer ones, and the
last match wins. As in git, nothing below an ignored folder can come back. Ignore files above the project are not
read: the same tree gives the same bento wherever it lies.
"""

from __future__ import annotations

import fnmatch
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

IGNORE_FILES = (".gitignore", ".dockerignore", ".bentoignore")
FOLDERS = frozenset(
    {
        *(".git", ".hg", ".svn", ".bzr", "_darcs", ".jj", "CVS"),
        *("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".tox", ".nox", ".cache"),
        *(".ipynb_checkpoints", ".import_linter_cache", ".eggs", ".venv", "node_modules", ".idea", ".vscode"),
    }
)
FOLDER_PATTERNS = ("*.egg-info",)
#: A folder that holds one of these is a virtual environment, a cache, or an image that we wrote.
MARKERS = ("pyvenv.cfg", "CACHEDIR.TAG", "oci-layout")
FILES = frozenset({".git", ".DS_Store", "Thumbs.db", ".coverage", "dynamo.lock"})


class PatternError(ValueError):
    """A pattern that is none; `line` is where it stands, `file` the ignore file where there is one."""

    def __init__(self, pattern: str, line: int, file: str = "") -> None:
        super().__init__(f"`{pattern}` is not a valid pattern")
        self.pattern, self.line, self.file = pattern, line, file


@dataclass(frozen=True, slots=True)
class Rules:
    """The ignore files between the project folder and one folder of it, outermost first."""

    specs: tuple[tuple[str, Any], ...] = ()

    def read_below(self, prefix: str, folder: str, names: Sequence[str]) -> Rules:
        """These rules and those of the ignore files among the names of a folder; `prefix` is its path and a slash.

        Raises OSError, PatternError.
        """
        found = [name for name in IGNORE_FILES if name in names]
        if not found:
            return self
        added = []
        for name in found:
            with open(os.path.join(folder, name), encoding="utf-8", errors="surrogateescape") as stream:
                lines = stream.read().splitlines()
            try:
                added.append((prefix, compile_pattern(_anchor_pattern(lines) if name == ".dockerignore" else lines)))
            except PatternError as error:
                raise PatternError(error.pattern, error.line, name) from error
        return Rules((*self.specs, *added))

    def is_ignored(self, path: str, is_folder: bool) -> bool:
        """Whether a path (POSIX, relative to the project) is ignored."""
        verdict = False
        for prefix, spec in self.specs:
            match = spec.check_file(path[len(prefix) :] + "/" * is_folder).include
            if match is not None:
                verdict = match
        return verdict


@dataclass(frozen=True, slots=True)
class Selection:
    """The patterns of the settings: only what is included, and nothing that is excluded."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    _included: Any = field(init=False, repr=False, compare=False)
    _excluded: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_included", compile_pattern(self.include) if self.include else None)
        object.__setattr__(self, "_excluded", compile_pattern(self.exclude) if self.exclude else None)

    @property
    def has_patterns(self) -> bool:
        """Whether there is any pattern."""
        return bool(self.include or self.exclude)

    def takes_file(self, path: str) -> bool:
        if self._included is not None and not self._included.match_file(path):
            return False
        return self._excluded is None or not self._excluded.match_file(path)

    def takes_folder(self, path: str) -> bool:
        return self._excluded is None or not self._excluded.match_file(path + "/")


def compile_pattern(patterns: Sequence[str]) -> Any:
    """Patterns of gitignore(5) as one matcher. Raises PatternError for the first that is none."""
    from pathspec import GitIgnoreSpec  # a third of a small build's time, and most projects' need

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of Python, about what a pattern becomes
        try:
            return GitIgnoreSpec.from_lines(patterns)
        except (ValueError, re.error):
            for number, pattern in enumerate(patterns, 1):
                try:
                    GitIgnoreSpec.from_lines([pattern])
                except (ValueError, re.error) as error:
                    raise PatternError(pattern.strip(), number) from error
            raise


def is_excluded_folder(name: str, names: Sequence[str] = ()) -> bool:
    """Whether a folder of this name, or one that holds these names, never belongs into a bento."""
    return (
        name in FOLDERS
        or any(fnmatch.fnmatchcase(name, pattern) for pattern in FOLDER_PATTERNS)
        or any(marker in names for marker in MARKERS)
    )


def is_excluded_file(name: str) -> bool:
    """Whether a file of this name never belongs into a bento."""
    return name in FILES or name.endswith((".pyc", ".pyo", ".swp", "~", ".bento"))


def _anchor_pattern(lines: Sequence[str]) -> list[str]:
    """Each line as gitignore(5) would have it; what says nothing is empty."""
    anchored = []
    for line in lines:
        pattern = line.strip()
        negated = pattern.startswith("!")
        pattern = "" if pattern.startswith("#") else pattern.removeprefix("!").strip().removeprefix("./").lstrip("/")
        anchored.append("!" * negated + "/" + pattern if pattern not in ("", ".") else "")
    return anchored
