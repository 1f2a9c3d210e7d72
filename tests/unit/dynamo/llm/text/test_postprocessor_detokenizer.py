"""Text from tokens as they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.llm.text.postprocessor import Detokenizer
from dynamo.llm.text.tokenizer import ByteTokenizer, load_folder
from support import small_models

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd"), max_size=40)
BYTES = ByteTokenizer()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return load_folder(small_models.folder(tmp_path_factory.mktemp("model")))


def pieces(tokenizer, tokens):
    text = Detokenizer(tokenizer)
    return [*(text.add_tokens([token]) for token in tokens), text.flush_text()]


@given(texts)
def test_bytes(text):
    """Byte by byte: the pieces are the text, and none holds a part of a character."""
    found = pieces(BYTES, BYTES.encode(text))
    assert "".join(found) == text
    assert not any("\ufffd" in piece for piece in found)


@given(text=texts)
def test_model(tokenizer, text):
    """A model's tokens break characters anywhere; the pieces never do."""
    found = pieces(tokenizer, tokenizer.encode(text))
    assert "".join(found) == text
    assert not any("\ufffd" in piece for piece in found)


@given(st.lists(st.integers(0, 255), max_size=60), st.integers(1, 5))
def test_any_bytes(tokens, size):
    """Bytes that are no text lose nothing that is one, in whatever portions they come."""
    text = Detokenizer(BYTES)
    parts = [text.add_tokens(tokens[start : start + size]) for start in range(0, len(tokens), size)]
    told = "".join(parts) + text.flush_text()
    whole = BYTES.decode(tokens)
    assert told.replace("\ufffd", "") == whole.replace("\ufffd", "")


def test_end_in_the_middle(tokenizer):
    """An answer that ends in the middle of a character says so at the end, not before."""
    tokens = tokenizer.encode("a日")[:-1]
    text = Detokenizer(tokenizer)
    assert text.add_tokens(tokens) == "a"
    assert text.flush_text() == "\ufffd"
    assert text.flush_text() == ""


def test_special_tokens_are_silent(tokenizer):
    """Marks of turns are no part of the text."""
    assert "".join(pieces(tokenizer, [1, *tokenizer.encode("hello"), 2])) == "hello"
