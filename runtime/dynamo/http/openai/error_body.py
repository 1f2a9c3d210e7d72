"""Failures in the form that OpenAI's clients read."""

from __future__ import annotations

import msgspec

from dynamo.sdk.errors import RemoteError

_encode = msgspec.json.Encoder().encode

_STATUS = {
    "bad_request": (400, "invalid_request_error"),
    "overloaded": (429, "rate_limit_error"),
    "unavailable": (503, "service_unavailable"),
    "not_found": (503, "service_unavailable"),
    "cancelled": (503, "service_unavailable"),
    "deadline": (504, "timeout"),
    "unauthorized": (502, "api_error"),
}
# Classes that workers raise, by name: it travels with the error, the class itself may be unknown here.
_CODES = {"ContextLengthExceeded": "context_length_exceeded", "RequestTooLong": "context_length_exceeded"}


class Failure(Exception):
    """What the client is told instead of an answer."""

    def __init__(
        self, message: str, *, status: int = 400, kind: str = "invalid_request_error", code: str = "", param: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind
        self.code = code
        self.param = param

    @property
    def body(self) -> bytes:
        """The answer's body. Source: the error object of OpenAI's API reference."""
        error = {"message": self.message, "type": self.kind, "param": self.param or None, "code": self.code or None}
        return _encode({"error": error})


def unknown_model(name: str) -> Failure:
    """Nobody registered a model of that name."""
    message = f"the model `{name}` does not exist"
    return Failure(message, status=404, code="model_not_found", param="model")


def convert_error(error: RemoteError) -> Failure:
    """What a call of a worker failed with."""
    if error.kind in _CODES:
        return Failure(error.message, code=_CODES[error.kind], param="messages")
    status, kind = _STATUS.get(error.code, (500, "server_error"))
    return Failure(error.message or kind, status=status, kind=kind, code=error.code if status != 400 else "")
