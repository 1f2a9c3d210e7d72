"""Values across the wire."""

from __future__ import annotations

import dataclasses
import json
import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from dynamo.messages import payload
from dynamo.rpc.endpoint_client import with_data


class Inner(BaseModel):
    size: int


class Model(BaseModel):
    inner: Inner
    kind: str = Field(default="x", alias="type")


@dataclasses.dataclass
class Plain:
    a: int


names = st.sampled_from(["items", "data", "values", "a"]) | st.text(max_size=4)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


def there_and_back(value):
    return payload.value_of(payload.decode(payload.encode(value)))


def test_values():
    """Models, dataclasses, sets and bytes arrive as plain values."""
    assert there_and_back(Model(inner=Inner(size=2))) == {"inner": {"size": 2}, "type": "x"}
    assert there_and_back([Plain(1), {"a": Inner(size=3)}]) == [{"a": 1}, {"a": {"size": 3}}]
    assert there_and_back({"b": b"\x00", "s": {2, 1}}) == {"b": b"\x00", "s": [1, 2]}
    assert there_and_back(uuid.UUID(int=1)) == str(uuid.UUID(int=1))
    with pytest.raises(TypeError, match="object cannot be sent"):
        payload.encode(object())


def test_records():
    """Fields by attribute and by key, nested and in lists, also under the names of dict's methods."""
    record = there_and_back({"a": {"b": [{"c": 1}]}, "items": [1], "values": 2})
    assert record.a.b[0].c == record["a"]["b"][0]["c"] == 1
    assert (record.items, record.values) == ([1], 2)
    assert (
        json.loads(payload.to_json(record))
        == json.loads(json.dumps(record.model_dump()))
        == {"a": {"b": [{"c": 1}]}, "items": [1], "values": 2}
    )
    with pytest.raises(AttributeError, match="no field 'x'; it has 'a'"):
        payload.value_of({"a": 1}).x


@pytest.mark.parametrize("value", [{"a": 1}, "text", b"bytes", [1], 1, 1.5, True, None])
def test_data(value):
    """Every item of the raw client has `.data()`, and equals what was sent."""
    assert with_data(value).data() == value
    assert with_data(value) == value
    assert type(with_data(value).data()) is type(value)


@given(plain)
def test_any_plain_value_arrives(value):
    """What JSON can say, and bytes, is the same at the other end, by key and by attribute."""
    found = there_and_back(value)
    assert found == value
    if isinstance(value, dict):
        for key in value:
            assert getattr(found, key) == value[key]


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_an_error(data):
    """Nothing but msgspec's errors comes of bytes that are no value."""
    try:
        payload.value_of(payload.decode(data))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
