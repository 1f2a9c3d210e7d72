"""`make campaign`: run the long fault and fuzz runs and write docs/campaign.md with the date and the machine."""

from __future__ import annotations

import ast
import datetime
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ROUNDS = int(os.environ.get("CAMPAIGN_ROUNDS", "10"))


def main() -> None:
    """Run the property tests with the long profile, the fault tests at many points, the serving tests again and again."""
    os.environ["CAMPAIGN"] = "1"
    fuzzed = [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if imports(path, "hypothesis")]
    rows = [
        pytest(
            "property tests, 5,000 examples each or 40 times as many as usual",
            ["--hypothesis-profile=campaign", *map(str, fuzzed)],
            1,
        )
    ]
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if imports(path, "support.effort") and path not in fuzzed:
            rows.append(pytest(f"{path.stem}, long", [str(path)], 1))
    for path in sorted((ROOT / "tests" / "integration").glob("test_serve*.py")):
        rows.append(pytest(f"{path.stem}, {ROUNDS} rounds", [str(path)], ROUNDS))
    for name in ("test_routing", "test_disaggregation", "test_planner"):
        rows.append(pytest(f"{name}, {ROUNDS} rounds", [str(ROOT / "tests" / "integration" / f"{name}.py")], ROUNDS))
    losses = str(ROOT / "tests/unit/dynamo/llm/test_service.py")
    rows.append(pytest("KV events lost and doubled, 500 seeds", [losses, "-k", "losses"], 1))
    rows.append(pytest("test_engines, a newer Docker too", [str(ROOT / "tests/integration/test_engines.py")], 1))
    rows += [pytest(path.stem, [str(path)], 1) for path in sorted((ROOT / "tests" / "campaign").glob("test_*.py"))]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    lines = [
        "# Campaign",
        "",
        f"Written by `make campaign` on {datetime.date.today().isoformat()}: {os.cpu_count()} cores, {memory} GiB, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}.",
        "",
        "| run | passed | failed | minutes |",
        "|---|---|---|---|",
        *[f"| {name} | {passed} | {failed} | {minutes:.1f} |" for name, passed, failed, minutes in rows],
    ]
    (ROOT / "docs" / "campaign.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    sys.exit(1 if any(failed for _, _, failed, _ in rows) else 0)


def imports(path: Path, module: str) -> bool:
    """Whether the file imports the module."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        if any(name == module or name.startswith(f"{module}.") for name in names):
            return True
    return False


def pytest(name: str, arguments: list[str], rounds: int) -> tuple[str, int, int, float]:
    """Counts over all rounds; the output of a round that failed goes to stdout."""
    passed = failed = 0
    begun = time.monotonic()
    for _ in range(rounds):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *arguments], cwd=ROOT, capture_output=True, text=True
        )
        closing = done.stdout.strip().splitlines()[-1:] or [""]
        counts = {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|error)", closing[0])}
        passed += counts.get("passed", 0)
        failed += counts.get("failed", 0) + counts.get("error", 0)
        if done.returncode:
            failed = max(failed, 1)
            print(done.stdout)
    return name, passed, failed, (time.monotonic() - begun) / 60


if __name__ == "__main__":
    main()
