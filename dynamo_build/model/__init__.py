"""The nouns: frozen values that pass between stages. No input or output here, no behaviour beyond parsing."""
