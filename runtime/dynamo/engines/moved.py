"""Names of vLLM that moved: code written for where they were in 2025 finds them where they are now."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

# Where a module was, and where its names are today, the likeliest first. Nothing is imported before it is asked for.
HOMES: dict[str, tuple[str, ...]] = {
    "vllm.entrypoints.openai.protocol": (
        "vllm.entrypoints.openai.chat_completion.protocol",
        "vllm.entrypoints.openai.completion.protocol",
        "vllm.entrypoints.serve.engine.protocol",
        "vllm.entrypoints.generate.base.protocol",
        "vllm.entrypoints.pooling.embed.protocol",
    ),
    "vllm.entrypoints.openai.api_server": ("vllm.entrypoints.launchers.api_server.entry",),
    "vllm.entrypoints.openai.serving_chat": ("vllm.entrypoints.openai.chat_completion.serving",),
    "vllm.entrypoints.openai.serving_completion": ("vllm.entrypoints.openai.completion.serving",),
    "vllm.entrypoints.openai.serving_models": ("vllm.entrypoints.openai.models.serving",),
    "vllm.utils": ("vllm.utils.argparse_utils", "vllm.utils.network_utils"),
    "vllm.transformers_utils.tokenizer": ("vllm.tokenizers",),
}
_NAMES = {"AnyTokenizer": "TokenizerLike"}


def _look_up(module: str, name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    for home in HOMES[module]:
        try:
            found = importlib.import_module(home)
        except ImportError:
            continue
        for candidate in (name, _NAMES.get(name, name)):
            if hasattr(found, candidate):
                return getattr(found, candidate)
    raise AttributeError(f"`{module}` has no `{name}` any more; looked in {', '.join(HOMES[module])}")


class _Moved(importlib.abc.Loader):
    """Loads a module that may be gone: what is left of it, and a look-up for the rest."""

    def __init__(self, left: importlib.abc.Loader | None) -> None:
        self._left = left

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._left.create_module(spec) if self._left is not None else None

    def exec_module(self, module: ModuleType) -> None:
        if self._left is not None:
            self._left.exec_module(module)
        name, own = module.__name__, vars(module).get("__getattr__")

        def look_up(attribute: str) -> Any:
            if own is not None:
                try:
                    return own(attribute)
                except AttributeError:
                    pass
            return _look_up(name, attribute)

        module.__dict__["__getattr__"] = look_up


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in HOMES:
            return None
        left = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if left is None:
            return importlib.machinery.ModuleSpec(fullname, _Moved(None))
        if left.loader is not None:
            left.loader = _Moved(left.loader)
        return left


def install_finder() -> None:
    """Answer for moved names from now on; costs nothing until one is imported."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
