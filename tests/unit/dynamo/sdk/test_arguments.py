"""`--Service.key=value`: every form, every type, and errors that name the argument."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.sdk.arguments import ArgumentError, merge_values, parse_arguments, parse_text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--S.a=1"], {"S": {"a": 1}}),
        (["--S.a", "1"], {"S": {"a": 1}}),
        (["--S.a", "=", "1"], {"S": {"a": 1}}),
        (["--S.a=-1"], {"S": {"a": -1}}),
        (["--S.a", "-1.5"], {"S": {"a": -1.5}}),
        (["--S.flag"], {"S": {"flag": True}}),
        (["--S.flag", "--S.b=2"], {"S": {"flag": True, "b": 2}}),
        (["--S.a="], {"S": {"a": ""}}),
        (["--S.a=null"], {"S": {"a": None}}),
        (["--S.a=007"], {"S": {"a": 7}}),
        (["--S.a=True"], {"S": {"a": True}}),
        (["--S.a=[1, 2]"], {"S": {"a": [1, 2]}}),
        (['--S.a={"b": 1}', "--S.a.c=2"], {"S": {"a": {"b": 1, "c": 2}}}),
        (["--S.a=1", "--S.a.b=2"], {"S": {"a": {"b": 2}}}),
        (["--S.a=x=y"], {"S": {"a": "x=y"}}),
        (["--S.ServiceArgs.envs.PORT=1"], {"S": {"ServiceArgs": {"envs": {"PORT": "1"}}}}),
        (['--S.ServiceArgs.envs={"A": 1}'], {"S": {"ServiceArgs": {"envs": {"A": "1"}}}}),
        (["--S.block-size=64"], {"S": {"block-size": 64}}),
        (["--S.a=NaN"], {"S": {"a": "NaN"}}),
        (["--S.a=1e999"], {"S": {"a": "1e999"}}),
        ([], {}),
    ],
)
def test_forms_and_types(arguments, expected):
    """Values are typed as the documents say; later arguments win."""
    assert parse_arguments(arguments) == expected


@pytest.mark.parametrize(
    "arguments", [["foo.bar"], ["--Word=3"], ["--S..a=1"], ["--.a=1"], ["-x"], ["--S.a", "="], ["--"]]
)
def test_anything_else_is_refused_by_name(arguments):
    """One line that names the argument; never a hang."""
    with pytest.raises(ArgumentError, match=r"write `--Service\.key=value`") as caught:
        parse_arguments(arguments)
    assert arguments[0] in str(caught.value)


@given(st.lists(st.text(max_size=20), max_size=5))
def test_no_arguments_break_the_parser(arguments):
    """Any text is parsed or refused, and what is parsed is JSON."""
    try:
        result = parse_arguments(arguments)
    except ArgumentError:
        return
    json.dumps(result, allow_nan=False)


@given(st.text())
def test_any_text_has_a_value(text):
    """A string at worst."""
    json.dumps(parse_text(text), allow_nan=False)


nested = st.recursive(st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner), max_leaves=8)


@given(nested, nested)
def test_merging_keeps_both_and_changes_neither(lower, upper):
    """Deeply: no key of either is lost."""
    before = json.dumps([lower, upper])
    result = merge_values(lower, upper)
    assert json.dumps([lower, upper]) == before
    assert merge_values(result, upper) == result
    if isinstance(lower, dict) and isinstance(upper, dict):
        assert set(result) == set(lower) | set(upper)
