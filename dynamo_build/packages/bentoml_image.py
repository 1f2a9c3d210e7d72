"""The packages that a module of a BentoML project asks for in code, `Image().python_packages(…)`, read from its text.

Source: BentoML 1.4, "Define the runtime environment".
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from dynamo.sdk.compatible import decorates


def packages(project: Path, file: str) -> tuple[str, ...]:
    """Lines of requirements, `-r FILE` among them; words that are no literals are passed over."""
    try:
        text = (project / file).read_bytes()
    except OSError:
        return ()
    if b"Image(" not in text or "bentoml" not in decorates(text):
        return ()
    return tuple(line for node in ast.walk(ast.parse(text)) for line in _lines(node))


def _lines(node: ast.AST) -> Iterator[str]:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return
    words = [item.value for item in node.args if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    if node.func.attr == "python_packages":
        yield from words
    elif node.func.attr == "requirements_file":
        yield from (f"-r {word}" for word in words)
