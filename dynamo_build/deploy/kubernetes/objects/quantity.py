"""Kubernetes quantities as numbers, to compare and to halve them.

Source: Kubernetes API, `Quantity` (resource/quantity.go: decimal and binary suffixes, decimal exponents).
"""

from __future__ import annotations

import re
from decimal import Decimal

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?\d+)?", re.ASCII)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


def parse_quantity(text: str) -> Decimal | None:
    """The number behind a quantity such as `500Mi` or `0.5`; None when it is not one."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    number, suffix = Decimal(match[1]), match[2] or ""
    if suffix in _BINARY:
        return number * (Decimal(1024) ** _BINARY[suffix])
    if suffix in _DECIMAL:
        return number.scaleb(_DECIMAL[suffix])
    return number.scaleb(int(suffix[1:])) if suffix and abs(int(suffix[1:])) < 100 else number


def format_mebibytes(amount: Decimal) -> str:
    """Bytes as whole `Mi`, rounded down and at least one."""
    return f"{max(1, int(amount // (1024 * 1024)))}Mi"
