"""Failures of calls between services, as the caller sees them.

RemoteError (internal)
├── BadRequest (bad_request)          the request does not fit the endpoint
├── Unauthorized (unauthorized)       the token is missing or wrong
├── NotFound (not_found)              no such service or endpoint
├── Deadline (deadline)               the time was up
├── Cancelled (cancelled)             the caller or the callee gave up
├── Unavailable (unavailable)         no instance is there, or it went away
├── Overloaded (overloaded)           the instance refuses more work for now
└── Internal (internal)               the endpoint raised

The code travels on the wire; the class is chosen by it. `kind` is the name of the class raised on the other side.
"""

from __future__ import annotations

from typing import ClassVar

from dynamo.sdk.graph import Problem


class RemoteError(Exception):
    """A call to another service failed."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str = "", *, kind: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind


class BadRequest(RemoteError):
    """The request does not fit the endpoint."""

    code = "bad_request"


class Unauthorized(RemoteError):
    """The token is missing or wrong."""

    code = "unauthorized"


class NotFound(RemoteError):
    """No such service or endpoint."""

    code = "not_found"


class Deadline(RemoteError):
    """The time was up."""

    code = "deadline"


class Cancelled(RemoteError):
    """The caller or the callee gave up."""

    code = "cancelled"


class Unavailable(RemoteError):
    """No instance is there, or it went away."""

    code = "unavailable"
    retryable = True


class Overloaded(RemoteError):
    """The instance refuses more work for now."""

    code = "overloaded"
    retryable = True


class Internal(RemoteError):
    """The endpoint raised."""

    code = "internal"


CODES: dict[str, type[RemoteError]] = {
    cls.code: cls
    for cls in (BadRequest, Unauthorized, NotFound, Deadline, Cancelled, Unavailable, Overloaded, Internal)
}


def from_code(code: str, message: str = "", *, kind: str = "") -> RemoteError:
    """The error for a wire code; an unknown code is Internal."""
    return CODES.get(code, Internal)(message, kind=kind)


#: Exit code of a worker, a supervisor or a server that failed; the toolchain's `ServeError` has the same.
EXIT_FAILED = 17


class CannotStart(RuntimeError):
    """A service cannot be started as it is, however often one tries. Its text is one line for the user."""


class BadConfiguration(CannotStart, ValueError):
    """A configuration value is invalid."""


class NotBound(RuntimeError):
    """A dependency was used outside a running service."""


class Unresolved(Exception):
    """The target names no service; holds the problems."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems[0].message)
        self.problems = problems
