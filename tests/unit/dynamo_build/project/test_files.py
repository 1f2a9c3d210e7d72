"""Which files of a project are packed."""

from __future__ import annotations

import os
import socket
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo_build.project.files import survey_files
from support.effort import examples


def paths(project: Path, **options: object) -> list[str]:
    """What is packed."""
    return [file.path for file in survey_files(str(project), **options).files]  # type: ignore[arg-type]


def complaint(project: Path) -> tuple[str, str]:
    """File and message of the one problem."""
    (problem,) = survey_files(str(project)).problems
    assert problem.hint
    return problem.where.file, problem.message


def fill(project: Path, *names: str) -> Path:
    for name in names:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(name)
    return project


def test_plain_files_are_packed_in_byte_order(tmp_path: Path) -> None:
    """Data files and hidden files are kept; the order does not depend on the locale."""
    fill(tmp_path, "b.py", "a/é.txt", "a.b", "a/Z", ".hidden/x", "model.bin")
    assert paths(tmp_path) == [".hidden/x", "a.b", "a/Z", "a/é.txt", "b.py", "model.bin"]


def test_what_never_belongs_into_a_bento_is_pruned(tmp_path: Path) -> None:
    """Virtual environments, caches, repositories, image layouts and our own lock stay out."""
    fill(
        tmp_path,
        *("x.py", "env/pyvenv.cfg", "env/lib/y.py", ".git/config", "__pycache__/x.pyc", "node_modules/a/b.js"),
        *("sub/.git", "c/CACHEDIR.TAG", "out/oci-layout", "out/blobs/z", "dynamo.lock", "a.egg-info/PKG-INFO", "y.pyc"),
        "frontend.bento",
    )
    assert paths(tmp_path) == ["x.py"]


def test_ignore_files_hold_at_every_depth_and_the_last_match_wins(tmp_path: Path) -> None:
    """A deeper file overrides an outer one, .bentoignore overrides .gitignore."""
    fill(tmp_path, "a.log", "sub/b.log", "sub/keep.log", "data/big.bin", "data/small.txt", "sub/data/x")
    (tmp_path / ".gitignore").write_text("*.log\n/data/*\n")
    (tmp_path / ".bentoignore").write_text("!/data/small.txt\n")
    (tmp_path / "sub/.gitignore").write_text("!keep.log\n")
    assert paths(tmp_path) == [
        ".bentoignore",
        ".gitignore",
        "data/small.txt",
        "sub/.gitignore",
        "sub/data/x",
        "sub/keep.log",
    ]


def test_dockerignore_is_anchored(tmp_path: Path) -> None:
    """`tmp` names the folder beside the file and no other, as Docker reads it; `**/tmp` names all."""
    fill(tmp_path, "tmp/a", "sub/tmp/b", "x/logs/c")
    (tmp_path / ".dockerignore").write_text("tmp\n**/logs\n.dockerignore\n")
    assert paths(tmp_path) == ["sub/tmp/b"]


def test_include_and_exclude(tmp_path: Path) -> None:
    """Patterns of the settings choose among what is not ignored."""
    fill(tmp_path, "a.py", "b.txt", "c/d.py", "c/e.py")
    assert paths(tmp_path, include=["*.py"], exclude=["c/e.py"]) == ["a.py", "c/d.py"]


def test_folders_named_by_the_caller_are_not_looked_into(tmp_path: Path) -> None:
    """The store may lie inside the project."""
    fill(tmp_path, "a.py", "home/bentos/x")
    assert paths(tmp_path, without=[str(tmp_path / "home")]) == ["a.py"]


def test_links_inside_are_followed(tmp_path: Path) -> None:
    """A link to a file or folder of the project is packed as what it points to."""
    fill(tmp_path, "real/a.py")
    (tmp_path / "link.py").symlink_to("real/a.py")
    (tmp_path / "folder").symlink_to("real")
    assert paths(tmp_path) == ["folder/a.py", "link.py", "real/a.py"]
    assert survey_files(str(tmp_path)).problems == ()


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("/etc/hostname", "out of the project"),
        ("nowhere", "leads nowhere"),
        (".", "around it"),
        ("bad", "leads nowhere"),
    ],
)
def test_links_that_cannot_be_packed(tmp_path: Path, target: str, words: str) -> None:
    """Links out, dangling, looping: a problem each."""
    (tmp_path / "bad").symlink_to(target)
    assert complaint(tmp_path)[0] == "bad"
    assert words in complaint(tmp_path)[1]


def test_folder_links_cannot_multiply(tmp_path: Path) -> None:
    """A link to a folder behind another such link is refused, so that a walk stays linear."""
    fill(tmp_path, "a/x", "b/y")
    (tmp_path / "a/b").symlink_to("../b")
    (tmp_path / "b/a").symlink_to("../a")
    found = survey_files(str(tmp_path))
    assert {problem.where.file for problem in found.problems} == {"a/b/a", "b/a/b"}


def test_special_files_are_problems_all_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FIFOs and sockets are named, with what they are."""
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)
        server.bind("sock")
        problems = survey_files(str(tmp_path)).problems
    assert [problem.message for problem in problems] == ["it is a FIFO, not a file", "it is a socket, not a file"]


@pytest.mark.skipif(sys.platform == "darwin", reason="the file system refuses such names")
def test_names_that_no_other_machine_could_hold(tmp_path: Path) -> None:
    """Names that are not UTF-8, control characters and case clashes are problems."""
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff", os.O_CREAT))
    fill(tmp_path, "new\nline", "A/x", "a/y", "b/c.py", "b/C.py")
    seen = {problem.where.file for problem in survey_files(str(tmp_path)).problems}
    assert len(seen) == 4
    assert {"a", "b/c.py", "new\\nline"} <= seen


def test_only_the_executable_bit_is_kept(tmp_path: Path) -> None:
    """Modes are reduced to one bit."""
    fill(tmp_path, "run.sh", "x.py")
    (tmp_path / "run.sh").chmod(0o700)
    (tmp_path / "x.py").chmod(0o666)
    assert [file.executable for file in survey_files(str(tmp_path)).files] == [True, False]


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\\\0", exclude_categories=("Cc", "Cs")), min_size=1, max_size=12
)


@settings(max_examples=examples(40), deadline=None)
@given(st.sets(NAMES.filter(lambda name: name not in (".", "..") and len(name.encode()) < 100), max_size=8))
def test_every_portable_name_is_packed_or_named(tmp_path_factory: pytest.TempPathFactory, names: set[str]) -> None:
    """No file goes missing silently: it is packed, ignored by rule, or a problem."""
    from dynamo_build.project.ignore import IGNORE_FILES, is_excluded_file

    project = tmp_path_factory.mktemp("project")
    wanted = {name for name in names if not is_excluded_file(name) and name not in IGNORE_FILES}
    for name in wanted:
        (project / name).write_bytes(b"")
    found = survey_files(str(project))
    assert {file.path for file in found.files} == wanted


@pytest.mark.parametrize("pattern", ["\\", "a\\", "!", "[z-a]"])
@pytest.mark.parametrize("name", [".gitignore", ".dockerignore", ".bentoignore"])
def test_a_line_that_is_no_pattern_is_a_problem(tmp_path: Path, name: str, pattern: str) -> None:
    """With its line, and without what the folder holds."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / name).write_text(f"# first\n\n*.txt\n{pattern}\n")
    (tmp_path / "kept").write_text("")
    found = survey_files(str(tmp_path))
    if found.problems or (name, pattern) != (".dockerignore", "!"):  # Docker passes over a lone exclamation mark
        (told,) = found.problems
        assert (told.where.file, told.where.line) == (f"deep/{name}", 4)
        assert [file.path for file in found.files] == ["kept"]


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.text(alphabet="ab*?/![]-\\^ #.~:\t\u00e9", max_size=8), max_size=4))
def test_any_ignore_file_gives_files_or_problems(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    """Nothing else comes of it, no warning of Python either."""
    project = tmp_path_factory.mktemp("project")
    for name in ("a", "b", "a.b"):
        (project / name).write_text("")
    for name in (".gitignore", ".dockerignore"):
        (project / name).write_text("\n".join(lines))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = survey_files(str(project))
        assert {file.path for file in found.files} <= {"a", "b", "a.b", ".gitignore", ".dockerignore"}
