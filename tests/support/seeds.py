"""The code blocks of the documents that describe the system, one file each in tests/graphs/seeds: `DOCUMENT-NUMBER.KIND`.

`python tests/support/seeds.py FOLDER` says how the files differ from the blocks of the documents in that folder.
"""

from __future__ import annotations

import ast
import asyncio
import re
import sys
import textwrap
import types
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "graphs" / "seeds"
PLACE = "# (block)"
KINDS = {"python": "py", "bash": "sh", "yaml": "yaml", "": "txt"}


def blocks() -> dict[str, str]:
    """Every block by its file's name."""
    return {path.name: path.read_text() for path in sorted(FOLDER.iterdir()) if path.is_file()}


def framed(name: str) -> str:
    """A block in its frame: the text that a reader has to think around it."""
    frame = (FOLDER / "frames" / name).read_text()
    (line,) = [line for line in frame.splitlines() if line.strip() == PLACE]
    block = (FOLDER / name).read_text()
    return frame.replace(line, textwrap.indent(block.rstrip(), line[: -len(PLACE)]), 1)


def execute(text: str, name: str, **given: Any) -> dict[str, Any]:
    """Run a text as a module of its own, where `await` may stand anywhere."""
    module = types.ModuleType(name)
    module.__dict__.update(given)
    sys.modules[name] = module
    try:
        code = compile(text, f"<{name}>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & 0x80:  # CO_COROUTINE
            asyncio.run(eval(code, module.__dict__))
        else:
            exec(code, module.__dict__)
    finally:
        del sys.modules[name]
    return module.__dict__


def extracted(documents: Path) -> dict[str, str]:
    """The blocks of documents; those inside a list lose its indentation."""
    found = {}
    for number, path in enumerate(sorted(documents.iterdir())):
        fences = re.finditer(r"^( *)```(\w*) *\n(.*?)^\1``` *$", path.read_text(), re.S | re.M)
        for position, fence in enumerate(fences, 1):
            text = "".join(line.removeprefix(fence[1]) for line in fence[3].splitlines(keepends=True))
            found[f"{number}-{position:02}.{KINDS[fence[2]]}"] = text
    return found


def main() -> int:
    """Compare."""
    there, here = extracted(Path(sys.argv[1])), blocks()
    differing = [name for name in sorted({*there, *here}) if _trimmed(there.get(name)) != _trimmed(here.get(name))]
    print("\n".join(differing) or f"{len(here)} blocks, none differs")
    return 1 if differing else 0


def _trimmed(text: str | None) -> list[str] | None:
    return None if text is None else [line.rstrip() for line in text.rstrip().splitlines()]


if __name__ == "__main__":
    sys.exit(main())
