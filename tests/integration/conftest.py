"""`dynamo serve` for tests, ended with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from support.seeds import blocks
from support.serving import Serve


@pytest.fixture
def serve(tmp_path) -> Iterator[object]:
    """A function that starts one: the first document's graph, another `code`, or the `files` that are given."""
    started: list[Serve] = []

    def start(
        *arguments: str,
        code: str = blocks()["0-02.py"],
        module: str = "hello_world",
        files: Mapping[str, str] | None = None,
        command: tuple[str, ...] = (),
        **environment: str,
    ) -> Serve:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        for name, text in (files or {f"{module}.py": code}).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        started.append(Serve(folder, *arguments, command=command, **environment))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
