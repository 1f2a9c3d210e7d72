"""BentoML's exceptions by name, as errors that travel with the status they had."""

from __future__ import annotations

from dynamo.sdk import errors


class BentoMLException(errors.Internal):
    """Status 500."""


class InternalServerError(BentoMLException):
    """Status 500."""


class InvalidArgument(errors.BadRequest):
    """Status 400."""


class BadInput(InvalidArgument):
    """Status 400."""


class NotFound(errors.NotFound):
    """Status 404."""


class ServiceUnavailable(errors.Unavailable):
    """Status 503."""
