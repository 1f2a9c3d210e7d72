"""Quantities."""

from __future__ import annotations

from decimal import Decimal

import pytest

from dynamo_build.deploy.kubernetes.objects import quantity


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("500m", Decimal("0.5")),
        ("1Ki", 1024),
        ("1k", 1000),
        ("1e3", 1000),
        ("0.5Gi", 2**29),
        (".5", Decimal("0.5")),
    ],
)
def test_quantities_have_a_number(text: str, number: int | Decimal) -> None:
    """Decimal, binary and exponent suffixes."""
    assert quantity.parse_quantity(text) == number


@pytest.mark.parametrize("text", ["16GB", "1,5", "", "Gi", "1 Gi", "1gi", "--1", "٣"])
def test_what_is_no_quantity(text: str) -> None:
    """Anything else is not a quantity."""
    assert quantity.parse_quantity(text) is None


def test_mebibytes_round_down() -> None:
    """Whole Mi, at least one."""
    assert quantity.format_mebibytes(Decimal(1024 * 1024 * 2 + 5)) == "2Mi"
    assert quantity.format_mebibytes(Decimal(5)) == "1Mi"
