"""The files of a project to pack, from one pruned walk, with one rule for everything but plain files.

Regular files are packed, by content and executable bit. A link to a file or a folder inside the project is packed as
what it points to. Links that lead out, dangle or loop, links to a folder met behind another such link, FIFOs, sockets,
devices, unreadable files, names that are not UTF-8 or hold a control character or a backslash, and names that differ
only by case are problems; all of them are reported at once.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import attrgetter

from dynamo.sdk.graph import Position, Problem
from dynamo_build.model.plan import PlannedFile
from dynamo_build.project.ignore import PatternError, Rules, Selection, never_file, never_folder

_EXCLUDE = "Remove it, or list it in `.bentoignore`."


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a walk found: files in the order of their paths' bytes, and what cannot be packed."""

    files: tuple[PlannedFile, ...]
    problems: tuple[Problem, ...] = ()


def survey(
    project: str,
    *,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    without: Iterable[str] = (),
    known: Callable[[str, os.stat_result], str] | None = None,
) -> Survey:
    """Walk a project. `without` are absolute folders that are not looked into, such as the store's; `known` gives the
    digest of a file by its path and status, "" where it has to be read.

    Raises OSError when the project folder itself cannot be read, and PatternError for what is no pattern.
    """
    walk = _Walk(
        root=os.path.realpath(project),
        selection=Selection(tuple(include), tuple(exclude)),
        without=frozenset(os.path.realpath(folder) for folder in without),
        known=known or _unknown,
    )
    os.scandir(walk.root).close()
    walk.folder(walk.root, "", Rules(), (walk.root,), False)
    files = tuple(sorted(walk.files, key=attrgetter("path")))  # code points sort as their UTF-8 does
    problems = [*walk.problems, *(_case_clashes(files) if walk.clashing else ())]
    return Survey(files=files, problems=tuple(sorted(problems, key=lambda problem: problem.where.file)))


@dataclass(slots=True, kw_only=True)
class _Walk:
    root: str
    selection: Selection
    without: frozenset[str]
    known: Callable[[str, os.stat_result], str]
    files: list[PlannedFile] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    clashing: bool = False

    def folder(self, folder: str, prefix: str, rules: Rules, chain: tuple[str, ...], linked: bool) -> None:
        """Take the files of one folder. `chain` are the real paths of the folders around it."""
        try:
            with os.scandir(folder) as entries:
                items = list(entries)
        except OSError as error:
            self.problem(prefix.rstrip("/"), f"the folder cannot be read ({_reason(error)})", _EXCLUDE)
            return
        names = [item.name for item in items]
        if prefix and never_folder(prefix[:-1].rpartition("/")[2], names):
            return
        try:
            rules = rules.below(prefix, folder, names)
        except OSError as error:
            self.problem(
                prefix + ".gitignore", f"an ignore file cannot be read ({_reason(error)})", "Make it readable."
            )
            return
        except PatternError as error:
            where = Position(file=prefix + error.file, line=error.line)
            hint = "Correct or remove it: git passes over it in silence."
            self.problems.append(Problem(where=where, message=str(error), hint=hint))
            return
        self.clashing = self.clashing or len({name.lower() for name in names}) < len(names)
        plain_names = _portable("".join(names))
        selected = bool(rules.specs) or self.selection.selects
        for item in items:
            name = item.name
            path = prefix + name
            try:
                plain = item.is_file(follow_symlinks=False)
            except OSError:
                plain = False
            if not plain:
                self.item(item, path, rules, chain, linked)
            elif not (self.unwanted(name, path, False, rules) if selected else never_file(name)) and (
                plain_names or self.nameable(name, path)
            ):
                self.file(item, path)

    def item(self, item: os.DirEntry[str], path: str, rules: Rules, chain: tuple[str, ...], linked: bool) -> None:
        """Take what is no plain file: a folder, a link, or something that cannot be packed."""
        try:
            link, mode = item.is_symlink(), 0
            if not link:
                is_folder = item.is_dir(follow_symlinks=False)
            else:
                status = _status(item.path)
                mode = status.st_mode if status else 0
                is_folder = stat.S_ISDIR(mode)
        except OSError as error:
            self.problem(path, f"it cannot be read ({_reason(error)})", _EXCLUDE)
            return
        if self.unwanted(item.name, path, is_folder, rules):
            return
        if link and _portable(item.name) and not self.link(item.path, path, mode, chain, linked):
            return
        if not self.nameable(item.name, path):
            return
        if not is_folder:
            self.file(item, path)
            return
        real = os.path.realpath(item.path) if link else item.path
        if real not in self.without:
            self.folder(item.path, path + "/", rules, (*chain, real), linked or link)

    def nameable(self, name: str, path: str) -> bool:
        """Whether a name can be packed anywhere; a problem is noted when not."""
        if not _portable(name):
            self.problem(path, "the name is not UTF-8, or holds a control character or a backslash", "Rename it.")
            return False
        return True

    def unwanted(self, name: str, path: str, is_folder: bool, rules: Rules) -> bool:
        if is_folder:
            return never_folder(name) or rules.ignored(path, True) or not self.selection.takes_folder(path)
        return never_file(name) or rules.ignored(path, False) or not self.selection.takes_file(path)

    def link(self, full: str, path: str, mode: int, chain: tuple[str, ...], linked: bool) -> bool:
        """Whether a link may be followed; a problem is noted when not."""
        real = os.path.realpath(full)
        target = os.readlink(full)
        if not mode:
            self.problem(path, f"the link to `{target}` leads nowhere", _EXCLUDE)
        elif not (real + "/").startswith(self.root + "/"):
            self.problem(
                path,
                f"the link to `{target}` leads out of the project",
                "Copy what it points to, or list it in `.bentoignore`.",
            )
        elif stat.S_ISDIR(mode) and any((outer + "/").startswith(real + "/") for outer in chain):
            self.problem(path, f"the link to `{target}` leads to a folder around it", _EXCLUDE)
        elif stat.S_ISDIR(mode) and linked:
            self.problem(path, f"the link to the folder `{target}` lies behind another such link", _EXCLUDE)
        else:
            return True
        return False

    def file(self, item: os.DirEntry[str], path: str) -> None:
        try:
            status = item.stat()
        except OSError as error:
            self.problem(path, f"it cannot be read ({_reason(error)})", _EXCLUDE)
            return
        mode = status.st_mode
        if not stat.S_ISREG(mode):
            self.problem(path, f"it is {_kind(mode)}, not a file", _EXCLUDE)
            return
        digest = self.known(path, status)
        if not digest and not os.access(item.path, os.R_OK, effective_ids=True):
            self.problem(path, "the file cannot be read (permission denied)", _EXCLUDE)
            return
        self.files.append(
            PlannedFile(path=path, size=status.st_size, executable=bool(mode & stat.S_IXUSR), digest=digest)
        )

    def problem(self, path: str, message: str, hint: str) -> None:
        shown = path.encode("utf-8", "backslashreplace").decode()
        shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in shown)
        self.problems.append(Problem(where=Position(file=shown), message=message, hint=hint))


def _case_clashes(files: Iterable[PlannedFile]) -> list[Problem]:
    seen: dict[str, str] = {}
    problems = {}
    for file in files:
        path = file.path
        while path and seen.get(lower := path.lower()) != path:
            other = seen.setdefault(lower, path)
            if other != path:
                problems[path] = Problem(
                    where=Position(file=path),
                    message=f"the name differs from `{other}` only by case",
                    hint="Rename one: some file systems cannot hold both.",
                )
                break
            path = path.rpartition("/")[0]
    return list(problems.values())


def _unknown(path: str, status: os.stat_result) -> str:
    return ""


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:  # links that only point at each other
            return None
        raise


def _portable(name: str) -> bool:
    if name.isascii() and name.isprintable():
        return "\\" not in name
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return not any(letter < " " or letter == "\x7f" for letter in name) and "\\" not in name


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a FIFO"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
