"""Models as their files say."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo.llm.text import gguf, model_files
from dynamo.llm.text.tokenizer import TokenizerError
from support import small_models

HI = [{"role": "user", "content": "hello wörld 42"}]


def test_folder_and_gguf_agree(tmp_path):
    """The same model as a folder and as a GGUF file gives the same tokens for the same text."""
    folder = model_files.read_model(str(small_models.folder(tmp_path / "m")))
    single = model_files.read_model(str(small_models.gguf(tmp_path / "m.gguf", **{"tokenizer.ggml.pre": "gpt-2"})))
    text = folder.template.render(HI)
    assert text == single.template.render(HI)
    assert folder.tokenizer.encode(text) == single.tokenizer.encode(text)
    assert folder.tokenizer.decode(single.tokenizer.encode("hello wörld")) == "hello wörld"
    assert (folder.ends, folder.context) == (single.ends, single.context) == (frozenset({2}), 512)


def test_beginning(tmp_path):
    """A model that wants a mark at the beginning gets it, once."""
    files = model_files.read_model(
        str(small_models.gguf(tmp_path / "m.gguf", **{"tokenizer.ggml.add_bos_token": True}))
    )
    assert files.tokenizer.encode("hello")[0] == 1
    assert files.tokenizer.encode("hello", begun=True)[0] != 1


def test_no_model():
    """Without a model, bytes are tokens."""
    files = model_files.read_model("bytes")
    assert files.tokenizer.decode(files.tokenizer.encode("é")) == "é"


def test_wrong_files(tmp_path):
    """What is missing or unknown is said in one line."""
    with pytest.raises(model_files.ModelMissing, match="no model is at"):
        model_files.read_model(str(tmp_path / "absent"))
    with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
        model_files.read_model(str(tmp_path))
    with pytest.raises(TokenizerError, match="bert"):
        model_files.read_model(str(small_models.gguf(tmp_path / "m.gguf", **{"tokenizer.ggml.model": "bert"})))
    with pytest.raises(TokenizerError, match="pre-tokenizer `odd`"):
        model_files.read_model(str(small_models.gguf(tmp_path / "m.gguf", **{"tokenizer.ggml.pre": "odd"})))
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(TokenizerError, match="cannot be read"):
        model_files.read_model(str(tmp_path))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_damaged_gguf(tmp_path_factory, data):
    """A file cut or altered anywhere is refused or read, never anything else."""
    path = small_models.gguf(tmp_path_factory.mktemp("damaged") / "m.gguf")
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        for _ in range(3):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        gguf.read_metadata(path)
    except gguf.NotGguf:
        pass


def test_claims_too_much(tmp_path):
    """Counts are checked before anything is made of them."""
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60))
    with pytest.raises(gguf.NotGguf):
        gguf.read_metadata(path)
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 1, 0, 0))
    with pytest.raises(gguf.NotGguf, match="version 1"):
        gguf.read_metadata(path)


def test_cache(tmp_path):
    """A name is looked up in Hugging Face's cache, and nowhere outside of it."""
    folder = tmp_path / "hub/models--org--name"
    small_models.folder(folder / "snapshots/abc")
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text("abc")
    environment = {"HF_HOME": str(tmp_path)}
    assert model_files.locate_model("org/name", environment) == folder / "snapshots/abc"
    for name in ("org/other", "../hub/models--org--name", "org/../x", "name"):
        with pytest.raises(model_files.ModelMissing):
            model_files.locate_model(name, environment)
