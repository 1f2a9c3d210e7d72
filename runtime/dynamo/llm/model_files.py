"""A model as its files say: tokenizer, chat template, where answers end, and how long a context is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynamo.llm import gguf, tokenizer
from dynamo.llm.chat_template import PLAIN, ChatTemplate
from dynamo.llm.tokenizer import ByteTokenizer, Tokenizer, TokenizerError


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What pre- and postprocessing need to know of a model."""

    tokenizer: Tokenizer
    template: ChatTemplate
    ends: frozenset[int] = frozenset()
    context: int = 0


def bytes_alone(context: int = 0) -> ModelFiles:
    """No model: every byte is a token. For engines that have none."""
    return ModelFiles(ByteTokenizer(), ChatTemplate(), frozenset(), context)


def read(path: str) -> ModelFiles:
    """A model's folder, its GGUF file, or `bytes` for none. Nothing is fetched.

    Raises TokenizerError and ValueError for files that are not understood, OSError.
    """
    if path in ("", "bytes"):
        return bytes_alone()
    place = Path(path)
    if place.is_dir():
        return _of_folder(place)
    if place.is_file():
        return _of_gguf(place)
    raise TokenizerError(f"no model is at `{path}`; give a folder with tokenizer.json, a GGUF file, or `bytes`")


def _of_gguf(path: Path) -> ModelFiles:
    found = gguf.metadata(path)
    tokens = found.get("tokenizer.ggml.tokens") or []
    ends = {found[key] for key in ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id") if key in found}

    def named(key: str) -> str:
        number = found.get(f"tokenizer.ggml.{key}_token_id", -1)
        return str(tokens[number]) if isinstance(number, int) and 0 <= number < len(tokens) else ""

    source = str(found.get("tokenizer.chat_template") or PLAIN)
    template = ChatTemplate(source, bos_token=named("bos"), eos_token=named("eos"))
    context = int(found.get(f"{found.get('general.architecture')}.context_length", 0))
    return ModelFiles(tokenizer.of_gguf(path, found), template, frozenset(ends), context)


def _of_folder(folder: Path) -> ModelFiles:
    found = tokenizer.of_folder(folder)
    about, general = _json(folder / "tokenizer_config.json"), _json(folder / "config.json")
    generation = _json(folder / "generation_config.json")
    source = about.get("chat_template")
    if isinstance(source, list):
        source = next((item["template"] for item in source if item.get("name") == "default"), None)
    separate = folder / "chat_template.jinja"
    if not source and separate.is_file():
        source = separate.read_text(encoding="utf-8")
    names = {key: _name(about.get(key)) for key in ("bos_token", "eos_token", "pad_token")}
    ends = generation.get("eos_token_id", general.get("eos_token_id"))
    numbers = ends if isinstance(ends, list) else [ends]
    context = general.get("max_position_embeddings", 0)
    return ModelFiles(
        found,
        ChatTemplate(str(source or PLAIN), **names),
        frozenset(number for number in numbers if isinstance(number, int)),
        context if isinstance(context, int) else 0,
    )


def _name(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, Mapping) else str(token or "")


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise TokenizerError(f"`{path}` is not a JSON object")
    return value
