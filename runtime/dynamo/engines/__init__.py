"""Engines, which make tokens out of tokens, behind one Protocol."""
