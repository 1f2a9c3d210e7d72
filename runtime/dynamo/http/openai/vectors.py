"""A worker's embeddings in the form that the client asked for."""

from __future__ import annotations

import base64
import sys
from array import array
from typing import Any

from dynamo.http.openai.errors import Failure


def answer(value: Any, model: str, encoding: str) -> dict[str, Any]:
    """The answer to an embedding request from OpenAI's object, a vector or a list of vectors.

    Raises Failure for anything else. Source: the embedding object of OpenAI's API reference.
    """
    usage = {"prompt_tokens": 0, "total_tokens": 0}
    if isinstance(value, dict):
        vectors = value.get("data", value.get("embeddings", value.get("embedding")))
        usage = value.get("usage") or usage
    else:
        vectors = value
    if not isinstance(vectors, list) or not vectors:
        raise _not_vectors(model)
    if isinstance(vectors[0], (int, float)):
        vectors = [vectors]
    found = [item.get("embedding") if isinstance(item, dict) else item for item in vectors]
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(vector, model, encoding)}
        for index, vector in enumerate(found)
    ]
    return {"object": "list", "data": data, "model": model, "usage": usage}


def _encoded(vector: Any, model: str, encoding: str) -> Any:
    try:
        if isinstance(vector, str):
            return vector if encoding == "base64" else _numbers(base64.b64decode(vector, validate=True))
        if not isinstance(vector, list):
            raise _not_vectors(model)
        if encoding != "base64":
            return [float(number) for number in vector]
        packed = array("f", vector)
    except (ValueError, TypeError, OverflowError) as error:
        raise _not_vectors(model) from error
    if sys.byteorder == "big":
        packed.byteswap()
    return base64.b64encode(packed.tobytes()).decode()


def _numbers(packed: bytes) -> list[float]:
    numbers = array("f", packed)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


def _not_vectors(model: str) -> Failure:
    return Failure(f"the worker of `{model}` gave no embeddings", status=502, kind="api_error")
