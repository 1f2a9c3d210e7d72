"""Names of modules and functions, their descriptions, and imports that are written in text."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
from collections import Counter

import pytest

from dynamo_build.cli.app import COMMANDS
from support import house
from support.house import ROOT, Function, compare_known, functions, modules, protocol_methods, relative, tree

DISTRIBUTIONS = sorted(house.SOURCES)

#: The most functions named by a participle alone (`told`, `shown`), and the largest share named by one word, in percent.
#: The runtime's are methods that authors of workers and routers call, such as `KvEventPublisher.stored`.
MOST_PARTICIPLES = {"dynamo_build": 0, "dynamo": 15}
MOST_ONE_WORD = {"dynamo_build": 20, "dynamo": 20}

#: Participles that do not end in -ed. Those that are verbs too (read, set, put, split, cut, hit, run, spread) are absent.
IRREGULAR = set(
    """
    begun bent bitten born borne bought bound broken brought built caught chosen dealt done drawn driven eaten fallen fed
    felt forgotten fought found frozen given gone got gotten grown had heard held hidden hung kept known laid led left
    lent lit lost made meant met misread overridden paid proven risen said seen sent shaken shown shut slept sold sought
    spent spoken stolen stood struck stuck sung sunk swept sworn taken taught thought thrown told torn undone understood
    unwritten withdrawn woken won worn wound written
    """.split()
)
VERBS_ENDING_IN_ED = {"bed", "bleed", "embed", "exceed", "feed", "heed", "need", "proceed", "seed", "shed", "speed"}

#: Methods that a third party calls, or that have the name of those of the standard library's files and sockets.
GIVEN_METHODS = set(
    """
    aclose close closed create_module emit exec_module filter find_spec format get invoke main open read readable
    readinto seek seekable tell writable write
    """.split()
)

OURS = r"(?:dynamo|dynamo_build|support|integration|scenarios|campaign|bench|unit)"
FROM = re.compile(rf"\bfrom ({OURS}(?:\.\w+)*) import (\([^)]*\)|[^\n;\"'\\`]+)")
PLAIN = re.compile(rf"(?:\bimport|-m[\", ']+)\s*({OURS}(?:\.\w+)+)")
#: Names in text that do not exist here, and why.
NOT_HERE = {
    "dynamo._core.RadixTree": "of another product, measured beside ours in an interpreter of its own",
    "dynamo.sdk.servise": "a mistake that a message is about",
}


def test_docstrings_of_modules_are_noun_phrases() -> None:
    """No module's docstring begins with a question word."""
    questions = [
        relative(path)
        for distribution in DISTRIBUTIONS
        for path in modules(distribution)
        if re.match(r"(What|Which|Who|Whose|How|Whether)\b", ast.get_docstring(tree(path)) or "")
    ]
    compare_known("docstrings", questions, "Say what the module is or does: a noun phrase, or the imperative:")


def _is_participle(word: str) -> bool:
    return word in IRREGULAR or (word.endswith("ed") and len(word) > 3 and word not in VERBS_ENDING_IN_ED)


@pytest.mark.parametrize(
    ("word", "wanted"), [("told", True), ("planned", True), ("need", False), ("read", False), ("build", False)]
)
def test_the_detector_tells_participles_from_verbs(word: str, wanted: bool) -> None:
    """A participle ends in -ed or is listed; a verb that ends alike is none."""
    assert _is_participle(word) is wanted


def _chosen_by_us(distribution: str) -> list[Function]:
    """Functions whose names are our choice: no dunder, property, method of a protocol, command, or published name."""
    given, commands = GIVEN_METHODS | protocol_methods(distribution), {name.replace("-", "_") for name in COMMANDS}
    published = {"main", *importlib.import_module("dynamo.sdk").__all__, *importlib.import_module("dynamo.llm").__all__}
    return [
        function
        for function in functions(distribution)
        if not (function.name.startswith("__") and function.name.endswith("__"))
        and not any("property" in name or name.endswith(".setter") for name in function.decorators)
        and function.name not in (given if function.owner else published)
        and not (function.path.startswith("dynamo_build/cli/") and function.name.rstrip("_") in commands)
    ]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_functions_are_not_named_by_a_participle(distribution: str) -> None:
    """A function is named by a verb and its object."""
    found = [one for one in _chosen_by_us(distribution) if len(one.words) == 1 and _is_participle(one.words[0])]
    shown = "".join(f"\n  {one.path}: {one.owner and one.owner + '.'}{one.name}" for one in found)
    most = MOST_PARTICIPLES[distribution]
    assert len(found) <= most, (
        f"{len(found)} functions of {distribution} are named by a participle alone, and {most} may be. "
        f"Name each by a verb and its object:{shown}"
    )


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_most_functions_have_two_words(distribution: str) -> None:
    """Few functions are named by one word."""
    chosen = _chosen_by_us(distribution)
    short = [one for one in chosen if len(one.words) == 1]
    share, most = 100 * len(short) / len(chosen), MOST_ONE_WORD[distribution]
    folders = Counter(one.path.rpartition("/")[0] for one in short).most_common(12)
    shown = "".join(f"\n  {folder}: {count}" for folder, count in folders)
    assert share <= most, (
        f"{share:.1f} % of the functions of {distribution} are named by one word ({len(short)} of {len(chosen)}), "
        f"and {most} % may be. Name functions by a verb and its object. The most are in:{shown}"
    )


def test_modules_named_in_text_exist() -> None:
    """Imports in strings, scripts, recipes and documents lead to modules and names that exist."""
    command = [
        "git",
        "ls-files",
        "tests",
        ".ci",
        "container",
        "docs",
        "templates",
        "examples",
        "Makefile",
        "*.md",
        "*.toml",
    ]
    tracked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    missing = set()
    for name in tracked:
        try:
            text = (ROOT / name).read_text()
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        for place, listed in FROM.findall(text):
            for one in listed.strip("()").split(","):
                imported = re.match(r"\s*(\w+)", one)
                if imported and not _exists(f"{place}.{imported[1]}"):
                    missing.add(f"{name}: {place}.{imported[1]}")
        missing |= {f"{name}: {place}" for place in PLAIN.findall(text) if not _exists(place)}
    unknown = sorted(one for one in missing if one.partition(": ")[2] not in NOT_HERE)
    assert unknown == [], "Name modules as they are now"


def _exists(name: str) -> bool:
    """Whether it is a module, or a name in one."""
    place, _, last = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ImportError:
        try:
            return hasattr(importlib.import_module(place), last)
        except ImportError:
            return False
    return True
