"""Tokens and text: tokenizers, chat templates, pre- and postprocessing."""
