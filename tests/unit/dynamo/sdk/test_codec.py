"""Values to canonical JSON and back; what does not fit is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.sdk import codec
from dynamo.sdk.graph import Discovery, Edge, Problem, Resources, ServiceGraph, ServiceSpec

GRAPH = ServiceGraph(
    target="m:A",
    entry="A",
    services=(
        ServiceSpec(name="B", module="m", qualname="B", envs={"b": "1", "a": "2"}, resources=Resources(gpu="1")),
        ServiceSpec(name="A", module="m", qualname="A", edges=(Edge(attribute="b", service="B"),)),
    ),
)


def test_a_graph_comes_back_as_it_was():
    """Canonical bytes, and the same value from them."""
    found = Discovery(graph=GRAPH, warnings=(Problem(message="x"),))
    assert codec.decode_json(Discovery, codec.encode_canonical(found)) == found
    assert codec.encode_canonical(
        codec.decode_json(Discovery, codec.encode_canonical(found))
    ) == codec.encode_canonical(found)


@pytest.mark.parametrize(
    "document", ["", "[]", "{}", '{"target": 1}', '{"unknown": 1}', '{"target": "a", "entry": "b", "services": {}}']
)
def test_what_does_not_fit_is_refused(document):
    """As a CodecError, never a half-made value."""
    with pytest.raises(codec.CodecError):
        codec.decode_json(ServiceGraph, document)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda e: st.lists(e) | st.dictionaries(st.text(), e)
    )
)
def test_no_document_makes_anything_but_a_value_or_a_refusal(document):
    """Whatever JSON it is."""
    try:
        codec.decode(ServiceGraph, document)
    except codec.CodecError:
        return
