"""Commands for graphs that run on this machine."""
