"""The documents are true: pages follow the code, links lead somewhere, commands and flags exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from dynamo_build.cli.app import COMMANDS
from support.documents import ROOT, Block, blocks, documents, headings, links


def test_the_reference_follows_the_code() -> None:
    """`make docs` would change nothing."""
    done = subprocess.run([sys.executable, ".ci/reference.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"run `make docs`: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", documents(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that is there, and a heading that it has."""
    for link in links(page):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}"
        assert target.is_relative_to(ROOT), link
        if anchor and target.suffix == ".md":
            assert anchor in headings(target), f"{page.name} links to {link}"


def test_no_two_pages_share_a_name() -> None:
    """A page is named by its file alone, however its words are joined; indexes of folders excepted."""
    names = [page.name.lower().replace("_", "-") for page in ROOT.glob("docs/**/*.md") if page.name != "README.md"]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []


def test_the_readme_is_short() -> None:
    """What a reader meets first has at most 600 words."""
    assert len((ROOT / "README.md").read_text().split()) <= 600


def test_the_architecture_lists_every_folder_of_the_code() -> None:
    """Each package of both distributions has one row, and no row is left of one that is gone."""
    page = (ROOT / "docs/explanation/architecture.md").read_text()
    rows = re.findall(r"(?m)^\| `((?:dynamo_build|runtime/dynamo)/[\w/]*)` \| \S", page)
    parents = [path.parent for top in ("dynamo_build", "runtime/dynamo") for path in (ROOT / top).rglob("__init__.py")]
    assert sorted(rows) == sorted(f"{folder.relative_to(ROOT).as_posix()}/" for folder in parents)


def test_the_glossary_has_each_term_once() -> None:
    """One meaning per term, in alphabetical order."""
    page = (ROOT / "docs/glossary.md").read_text()
    terms = re.findall(r"(?m)^\| \*\*([^|]+)\*\* \| \S", page)
    assert terms == sorted(set(terms), key=str.casefold)
    assert len(terms) >= 40


def test_the_decisions_are_indexed() -> None:
    """Each record is short, has the three parts, and stands in the index under its title."""
    folder = ROOT / "docs/decisions"
    index = (folder / "README.md").read_text()
    for record in sorted(folder.glob("0*.md")):
        number, _, title = record.read_text().partition("\n")[0].removeprefix("# ").partition(". ")
        assert f"| {int(number):04} | [{title}]({record.name}) |" in index
        assert headings(record) >= {"context", "decision", "consequences"}
        assert len(record.read_text().splitlines()) <= 25, record.name


def lines() -> list[tuple[Block, str]]:
    """Every line of a shell block that runs `dynamo`."""
    found = []
    for page in documents():
        if page.name == "commands.md":
            continue
        for block in blocks(page):
            if block.language in {"bash", "sh", "shell", "console"}:
                text = block.text.replace("\\\n", " ")
                for line in re.split(r"[\n|;]|&&", text):
                    line = line.strip().removeprefix("$ ")
                    if line.startswith("dynamo "):
                        found.append((block, line))
    return found


@cache
def help_of(command: tuple[str, ...]) -> str:
    """The help of a command."""
    done = subprocess.run([sys.executable, "-m", "dynamo_build", *command, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("block", "line"), lines(), ids=lambda item: item if isinstance(item, str) else item.file.name)
def test_commands_and_flags_exist(block: Block, line: str) -> None:
    """No page shows a command or an option that the command line does not have."""
    words = shlex.split(line.split(" #")[0].split(" >")[0], posix=True)[1:]
    if words[0].startswith("-"):
        return
    where = f"{block.file.relative_to(ROOT)}:{block.line}: {line}"
    assert words[0] in COMMANDS, where
    command: tuple[str, ...] = (words[0],)
    text = help_of(command)
    if "COMMAND [ARGS]" in text and len(words) > 1:
        command = (words[0], words[1])
        text = help_of(command)
    for word in words[1:]:
        if re.match(r"--[A-Z]\w*\.", word):
            assert "Service.key=value" in text, where
        elif re.match(r"-{1,2}[a-z]", word):
            flag = word.split("=")[0]
            assert re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", text), f"{where} has no {flag}"


def graphs() -> list[Block]:
    """Python blocks of the documents that are a whole module: their first line names it."""
    found = [block for page in documents() for block in blocks(page) if block.language == "python"]
    return [block for block in found if re.match(r"# \w+\.py\n", block.text)]


@pytest.mark.parametrize("block", graphs(), ids=lambda block: f"{block.file.name}:{block.line}")
def test_graphs_of_the_documents_are_graphs(block: Block, tmp_path: Path) -> None:
    """Each is described without a problem."""
    name = block.text.split()[1]
    (tmp_path / name).write_text(block.text)
    entry = re.findall(r"(?m)^class (\w+)(?=[:(])", block.text)[-1]
    command = [sys.executable, "-m", "dynamo_build", "graph", f"{name.removesuffix('.py')}:{entry}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert entry in done.stdout
