"""`bentoml.images.Image`, whose words are read from the text of the module when the project is built."""

from __future__ import annotations

from typing import Any


class Image:
    """Takes every word, and does nothing with it in a process that runs."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *arguments, **keywords: self


PythonImage = Image
