"""`make campaign`: run the long fault and fuzz runs, keep what came of each, and write docs/lab/campaign.md.

`make campaign ARGS="test_hostile soak"` runs only the rows whose names contain one of the words; the document is
written again after every row, and the rows that are not run stay in it as they are.
"""

from __future__ import annotations

import ast
import datetime
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TESTS = ROOT / "tests"
DOCUMENT = ROOT / "docs" / "lab" / "campaign.md"
ROUNDS = int(os.environ.get("CAMPAIGN_ROUNDS", "10"))
AGAIN = ("test_serve*", "test_routing", "test_disaggregation", "test_planner")
LONG = ("--hypothesis-profile=campaign", "--timeout=1500")
LINES = 12
"""How many closing lines of a failure are kept."""


@dataclass(frozen=True, slots=True)
class Row:
    """What came of a run: `notes` are what tests counted, why some were left out, how a failure ended."""

    name: str
    passed: int
    failed: int
    skipped: int
    minutes: float
    date: str
    machine: str
    notes: tuple[str, ...]


def main() -> None:
    """Run all rows, or those with a word of the command line in their names; exit 1 when one failed."""
    known = {name: (arguments, rounds) for name, arguments, rounds in rows()}
    words = sys.argv[1:]
    chosen = [name for name in known if not words or any(word in name for word in words)]
    if not chosen:
        sys.exit("no row has " + " or ".join(words) + " in its name:\n" + "\n".join(known))
    failed = 0
    for name in chosen:
        print(f"running {name}", file=sys.stderr)
        row = run(name, *known[name])
        failed += row.failed
        before = recall(DOCUMENT.read_text()) if DOCUMENT.exists() else []
        found = {run_of(one.name): one for one in [*before, row]}
        DOCUMENT.write_text(document([found[run_of(one)] for one in known if run_of(one) in found]))
        print(f"{name}: {row.passed} passed, {row.failed} failed, {row.skipped} skipped", *row.notes, sep="\n  ")
    sys.exit(1 if failed else 0)


def rows() -> Iterator[tuple[str, list[str], int]]:
    """Name, arguments of pytest, and rounds: a row for every fault, every file of properties, every serving test."""
    for path in sorted(TESTS.rglob("test_*.py")):
        name, named = path.stem, str(path.relative_to(ROOT))
        if TESTS / "scenarios" in path.parents and imports(path, "support.effort"):
            for test in tests(path):
                yield f"{name}::{test}, long", [f"{named}::{test}", *LONG], 1
        elif TESTS / "campaign" in path.parents or imports(path, "support.effort") or imports(path, "hypothesis"):
            shown = str(path.relative_to(TESTS / "unit").with_suffix("")) if TESTS / "unit" in path.parents else name
            yield f"{shown}, long", [named, *LONG], 1
        elif TESTS / "integration" in path.parents and any(path.match(f"{pattern}.py") for pattern in AGAIN):
            yield f"{name}, {ROUNDS} rounds", [named], ROUNDS
    yield "test_engines, a newer Docker too", ["tests/integration/test_engines.py"], 1
    for folder in ("unit", "contracts", "k8s_contract", "integration", "scenarios"):
        yield f"{folder} while the machine stands still now and then", [f"tests/{folder}", "--stalls"], 1


def imports(path: Path, module: str) -> bool:
    """Whether the file imports the module."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        if any(name == module or name.startswith(f"{module}.") for name in names):
            return True
    return False


def tests(path: Path) -> list[str]:
    """The names of the file's tests."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    found = [node.name for node in ast.parse(path.read_text()).body if isinstance(node, kinds)]
    return [name for name in found if name.startswith("test_")]


def run_of(name: str) -> str:
    """What a row is known by; the number of rounds is no part of it."""
    return name.partition(",")[0]


def run(name: str, arguments: Sequence[str], rounds: int) -> Row:
    """Run the tests so many times; counts over all rounds."""
    passed = failed = skipped = 0
    notes: list[str] = []
    begun = time.monotonic()
    for _ in range(rounds):
        with tempfile.NamedTemporaryFile(suffix=".xml") as report:
            command = [sys.executable, "-m", "pytest", "-q", *arguments, f"--junitxml={report.name}"]
            command += ["-o", "junit_logging=system-out"]
            heavy = {} if "--stalls" in arguments else {"CAMPAIGN": "1"}
            environment = {**os.environ, **heavy}
            done = subprocess.run(
                command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            suite = report.read()
        seen = ElementTree.fromstring(suite).iter("testcase") if suite else iter(())
        wrong = 0
        for test in seen:
            bad = [*test.iter("failure"), *test.iter("error")]
            left_out = [f"skipped: {one.get('message', '')}" for one in test.iter("skipped")]
            passed, skipped, wrong = passed + (not bad and not left_out), skipped + bool(left_out), wrong + bool(bad)
            for one in bad:
                notes += [f"failed: {test.get('name')}", *(one.text or "").strip().splitlines()[-LINES:]]
            notes += [*(line for line in left_out if line not in notes), *counted(test.findtext("system-out") or "")]
        if done.returncode and not wrong:
            notes += [f"failed: exit code {done.returncode}", *done.stdout.strip().splitlines()[-LINES:]]
            wrong = 1
        failed += wrong
    hidden = [line.replace(str(ROOT), ".") for line in notes]
    minutes = round((time.monotonic() - begun) / 60, 1)
    today = datetime.date.today().isoformat()
    return Row(
        name=name, passed=passed, failed=failed, skipped=skipped, minutes=minutes, date=today, machine=machine(), notes=tuple(hidden)
    )  # fmt: skip


def counted(said: str) -> list[str]:
    """Lines that a test printed with its counts: `name: {...}` or `{...}`."""
    return [line for line in said.splitlines() if re.fullmatch(r"(counted|[\w %.]*:? ?\{).*", line)]


def document(found: Sequence[Row]) -> str:
    """All rows as Markdown, by machine, with what they counted below."""
    lines = ["# Campaign", "", "Regenerated by `make campaign`: the long fault and fuzz runs, each as it ran last.", ""]
    for where in dict.fromkeys(row.machine for row in found):
        here = [row for row in found if row.machine == where]
        lines += [
            f"On {where}:",
            "",
            "| run | passed | failed | skipped | minutes | date |",
            "|---|---|---|---|---|---|",
        ]
        lines += [f"| {r.name} | {r.passed} | {r.failed} | {r.skipped} | {r.minutes} | {r.date} |" for r in here]
        lines.append("")
    lines += ["## What they counted", ""]
    for row in found:
        if row.notes:
            lines += [f"{row.name}:", "", "```text", *row.notes, "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def recall(text: str) -> list[Row]:
    """The rows of a document, as `document` wrote it."""
    table, _, counts = text.partition("## What they counted\n")
    notes = dict(re.findall(r"^([^\n]+):\n\n```text\n(.*?)\n```$", counts, re.MULTILINE | re.DOTALL))
    found, where = [], ""
    for line in table.splitlines():
        if line.startswith("On "):
            where = line[3:-1]
        elif line.startswith("| ") and not line.startswith("| run |"):
            name, passed, failed, skipped, minutes, date = (cell.strip() for cell in line.strip("|").split("|"))
            said = tuple(notes[name].split("\n")) if name in notes else ()
            counted = [int(passed), int(failed), int(skipped)]
            found.append(Row(name, *counted, float(minutes), date, where, said))
    return found


def machine() -> str:
    """Cores, memory and interpreter; no host name."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    system = f"{platform.system()} {platform.machine()}"
    return f"{os.cpu_count()} cores, {memory} GiB, {system}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
