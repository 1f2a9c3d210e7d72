"""A model for vLLM with random weights and a tokenizer of its own, made where transformers is installed."""

from __future__ import annotations

import sys
from pathlib import Path

from support import small_models


def make(place: Path) -> Path:
    """The model's folder."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    tokens, _ = small_models.vocabulary()
    config = LlamaConfig(
        vocab_size=len(tokens) + (-len(tokens)) % 64,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=32,
        max_position_embeddings=2048,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(place)
    written = (place / "config.json").read_text()
    small_models.folder(place, context=2048)
    (place / "config.json").write_text(written)
    about = (
        (place / "tokenizer_config.json").read_text().replace("{", '{"tokenizer_class": "PreTrainedTokenizerFast", ', 1)
    )
    (place / "tokenizer_config.json").write_text(about)
    return place


if __name__ == "__main__":
    make(Path(sys.argv[1]))
