"""Text to tokens and back, behind one Protocol: a model's own tokenizer, or bytes where there is no model."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from dynamo.llm.text.gguf import read_metadata
from dynamo.sdk.errors import CannotStart

_HINT = "install dynamo-build[llm]"
# Source: the pre-tokenizers of llama.cpp by name, as far as they are ByteLevel with or without digits apart.
_DIGITS_APART = frozenset({"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"})
_PLAIN = frozenset({"gpt-2", "default", "phi-2", "olmo", "jais", "roberta-bpe", "mpt"})
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_OTHERS = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_THREE_DIGITS, _ONE_DIGIT = _WORDS + r"\p{N}{1,3}" + _OTHERS, _WORDS + r"\p{N}" + _OTHERS
_SPLITS = {
    **dict.fromkeys(("llama-bpe", "llama3", "dbrx"), _THREE_DIGITS),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen"), _ONE_DIGIT),
}
_CONTROL, _USER_DEFINED = 3, 4


class TokenizerError(CannotStart, ValueError):
    """A model's tokenizer cannot be used here."""


class Tokenizer(Protocol):
    """Text to tokens and back."""

    def encode(self, text: str, *, begun: bool = False) -> list[int]:
        """The tokens of a text; with `begun` it has the mark of its beginning already, where the model wants one."""

    @property
    def size(self) -> int:
        """How many tokens there are; 0: any number is one."""

    def count_least(self, text: str) -> int:
        """How many tokens a text has at least, known from its length alone; 0 where that says nothing."""

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without special ones; bytes that are no character yet are U+FFFD."""


class ByteTokenizer:
    """Every byte of UTF-8 is a token: for engines without a model."""

    size = 0

    def encode(self, text: str, *, begun: bool = False) -> list[int]:
        return list(text.encode("utf-8", "surrogatepass"))

    def count_least(self, text: str) -> int:
        return len(text)

    def decode(self, tokens: Sequence[int]) -> str:
        return bytes(token & 0xFF for token in tokens).decode("utf-8", "replace")


class ModelTokenizer:
    """The tokenizer of a model, by the `tokenizers` package."""

    def __init__(self, tokenizer: Any, prefix: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._prefix = list(prefix)
        self._alone: dict[int, str] = {}
        self._longest = _measure_longest(tokenizer)
        self.size = int(tokenizer.get_vocab_size())

    def encode(self, text: str, *, begun: bool = False) -> list[int]:
        # The batch's form lets go of the interpreter meanwhile, and counts no offsets.
        found: list[int] = self._tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids
        return [*self._prefix, *found] if self._prefix and not begun else found

    def count_least(self, text: str) -> int:
        return len(text) // self._longest if self._longest else 0

    def decode(self, tokens: Sequence[int]) -> str:
        if len(tokens) == 1:  # no more of them than the vocabulary has
            known = self._alone.get(tokens[0])
            if known is not None:
                return known
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=True)
        if len(tokens) == 1:
            self._alone[tokens[0]] = text
        return text


def _measure_longest(tokenizer: Any) -> int:
    """The characters of the longest token, where every character of a text is part of a token; else 0."""
    model = tokenizer.model
    if type(model).__name__ != "BPE" or model.unk_token is not None or tokenizer.normalizer is not None:
        return 0
    return max(map(len, tokenizer.get_vocab()), default=0)


def load_folder(folder: Path) -> ModelTokenizer:
    """The tokenizer of a model in a folder as Hugging Face lays it out. Raises TokenizerError."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise TokenizerError(f"`{folder}` has no tokenizer.json")
    try:
        return ModelTokenizer(_import_tokenizers().Tokenizer.from_file(str(path)))
    except Exception as error:
        raise TokenizerError(f"`{path}` cannot be read: {error}") from error


def load_gguf(path: Path, found: Mapping[str, Any] | None = None) -> ModelTokenizer:
    """The tokenizer inside a GGUF file; `found` is its metadata when it was read already. Raises TokenizerError."""
    keys = read_metadata(path) if found is None else found
    kind, pre = keys.get("tokenizer.ggml.model"), keys.get("tokenizer.ggml.pre", "default")
    tokens, merges = keys.get("tokenizer.ggml.tokens"), keys.get("tokenizer.ggml.merges")
    if kind != "gpt2" or not isinstance(tokens, list) or not isinstance(merges, list):
        raise TokenizerError(f"`{path.name}` has a tokenizer of kind `{kind}`; `gpt2` is the one that is known")
    package = _import_tokenizers()
    pairs = [tuple(merge.split(" ", 1)) for merge in merges]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    made = package.Tokenizer(package.models.BPE(vocab=vocabulary, merges=pairs, ignore_merges=pre == "llama-bpe"))
    made.pre_tokenizer = _pre_tokenizer(package.pre_tokenizers, str(pre), package)
    made.decoder = package.decoders.ByteLevel()
    kinds = keys.get("tokenizer.ggml.token_type") or []
    special = [package.AddedToken(token, special=True, normalized=False)
               for token, what in zip(tokens, kinds, strict=False) if what == _CONTROL]  # fmt: skip
    own = [package.AddedToken(token, special=False, normalized=False)
           for token, what in zip(tokens, kinds, strict=False) if what == _USER_DEFINED]  # fmt: skip
    made.add_special_tokens(special)
    made.add_tokens(own)
    begins = keys.get("tokenizer.ggml.add_bos_token") and "tokenizer.ggml.bos_token_id" in keys
    return ModelTokenizer(made, [int(keys["tokenizer.ggml.bos_token_id"])] if begins else [])


def _pre_tokenizer(parts: Any, pre: str, package: Any) -> Any:
    bytes_apart = parts.ByteLevel(add_prefix_space=False, use_regex=True)
    if pre in _DIGITS_APART:
        return parts.Sequence([parts.Digits(individual_digits=True), bytes_apart])
    if pre in _PLAIN:
        return bytes_apart
    if pre in _SPLITS:
        split = parts.Split(package.Regex(_SPLITS[pre]), behavior="isolated")
        return parts.Sequence([split, parts.ByteLevel(add_prefix_space=False, use_regex=False)])
    known = ", ".join(sorted({*_DIGITS_APART, *_PLAIN, *_SPLITS}))
    raise TokenizerError(f"the pre-tokenizer `{pre}` is not known; {known} are")


def _import_tokenizers() -> Any:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # there is one text at a time, and no pool to start for it
    try:
        return importlib.import_module("tokenizers")
    except ImportError as error:
        raise TokenizerError(f"the tokenizer of a model needs the package `tokenizers`; {_HINT}") from error
