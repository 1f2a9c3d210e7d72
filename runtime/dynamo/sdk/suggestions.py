"""The nearest known name to one that was misspelt."""

from __future__ import annotations

from collections.abc import Iterable


def find_closest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The known name most like `name`, or ""."""
    import difflib  # slow to load, and wanted only when something is wrong

    choices = sorted(set(known))
    found = difflib.get_close_matches(name, choices, n=1, cutoff=cutoff)
    if not found:
        folded = {choice.lower(): choice for choice in choices}
        found = [
            folded[match]
            for match in difflib.get_close_matches(name.lower(), sorted(folded), n=1, cutoff=max(cutoff, 0.7))
        ]
    return found[0] if found else ""


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint naming the nearest name, else `otherwise`, else the known names."""
    choices = sorted(set(known))
    best = find_closest(name, choices)
    if best:
        return f"Did you mean `{best}`?"
    if otherwise or not choices:
        return otherwise
    return f"Known are {', '.join(f'`{choice}`' for choice in choices)}."
