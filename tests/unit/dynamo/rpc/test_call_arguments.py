"""Arguments by annotation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from dynamo.rpc.call_arguments import Arguments
from dynamo.sdk.errors import BadRequest

if TYPE_CHECKING:
    from nowhere import SeenByTypeCheckersOnly


class Model(BaseModel):
    text: str
    number: int = 1


def model(request: Model): ...
def free(request): ...
def anything(request: Any): ...
def text(request: str): ...
def objects(request: dict): ...
def several(prompt, size: int, style: str = "plain"): ...
def open_ended(**rest): ...
def optional(request: Model | None = None): ...
def unseen(request: SeenByTypeCheckersOnly): ...


@pytest.mark.parametrize("body", [{"text": "a"}, '{"text": "a"}', b'{"text": "a"}'])
def test_a_model_takes_objects_and_json_text(body):
    """The one parameter of a handler takes the whole body."""
    assert Arguments(model).from_call(body) == ((Model(text="a"),), {})


def test_text_stays_text_where_text_is_wanted():
    """JSON text is parsed only where the annotation does not want text."""
    assert Arguments(text).from_call('{"a": 1}') == (('{"a": 1}',), {})
    assert Arguments(free).from_call('{"a": 1}') == (({"a": 1},), {})
    assert Arguments(anything).from_call("[1]") == (([1],), {})
    assert Arguments(objects).from_call('{"a": 1}') == (({"a": 1},), {})
    assert Arguments(free).from_call("{broken") == (("{broken",), {})


def test_an_annotation_that_is_not_there_at_run_time_takes_anything():
    """A name imported for type checkers only says nothing, and the handler is served all the same."""
    assert Arguments(unseen).from_call({"a": 1}) == (({"a": 1},), {})


def test_several_take_keys():
    """Several parameters take the keys of the body, converted, with their defaults."""
    assert Arguments(several).from_call({"prompt": [1], "size": "3", "extra": 0}) == ((), {"prompt": [1], "size": 3})
    assert Arguments(open_ended).from_call({"a": 1}) == ((), {"a": 1})
    assert Arguments(optional).from_call(None) == ((), {})


@pytest.mark.parametrize(
    ("function", "body", "message"),
    [
        (model, {"number": 1}, "`text`: field required"),
        (model, "{broken", "invalid JSON"),
        (model, 5, "request"),
        (several, {"prompt": 1}, "missing `size`"),
        (several, {"prompt": 1, "size": "x"}, "`size`"),
        (several, [1], "expected an object with the keys `prompt`, `size`, `style`, got a list"),
    ],
)
def test_what_does_not_fit_is_named(function, body, message):
    """A body that does not fit is a BadRequest that says where."""
    with pytest.raises(BadRequest, match=message):
        Arguments(function).from_call(body)
