"""What makes tokens out of tokens, behind one Protocol."""
