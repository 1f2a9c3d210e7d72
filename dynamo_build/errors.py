"""The failures that the toolchain reports, with their exit codes: the only definition of these codes.

DynamoError (1)
├── UsageError (2)        a flag, a reference or a setting is wrong
├── GraphError (10)       the graph has problems; holds all of them
├── LockError (11)        packages cannot be locked
├── ImageBuildError (12)  the image cannot be built
├── RegistryError (13)    the registry refused, failed or is not there
├── DeployError (14)      manifests are wrong, or the cluster refused or failed
├── ToolMissing (15)      a program or service that is needed is not there
├── StoreError (16)       the bento store, or an item of it, is damaged or not writable
└── ServeError (17)       the graph could not be started, or a service of it failed for good

Messages say what happened, in lower case, without a full stop; hints say what to do, one sentence each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dynamo.sdk.graph import Problem


#: Exit codes of ends that are no errors: Ctrl-C or SIGTERM, and a reader of stdout that went away.
INTERRUPTED = 130
BROKEN_PIPE = 141


class DynamoError(Exception):
    """A failure that the user can act on. Anything else that escapes is a bug and keeps its traceback."""

    exit_code = 1

    def __init__(self, message: str, hints: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hints = tuple(hints)


class UsageError(DynamoError):
    """A flag, a reference or a setting is wrong."""

    exit_code = 2


class GraphError(DynamoError):
    """The graph has problems. All of them are in `problems`."""

    exit_code = 10

    def __init__(self, message: str, hints: Sequence[str] = (), problems: Sequence[Problem] = ()) -> None:
        super().__init__(message, hints)
        self.problems = tuple(problems)


def counted(problems: Sequence[Problem]) -> str:
    """How many there are, in words for a message."""
    return "1 problem" if len(problems) == 1 else f"{len(problems)} problems"


class LockError(DynamoError):
    """Packages cannot be locked."""

    exit_code = 11


class ImageBuildError(DynamoError):
    """The image cannot be built."""

    exit_code = 12


class RegistryError(DynamoError):
    """The registry refused, failed or is not there. A retry looks at `temporary`, and at the seconds of `after`."""

    exit_code = 13

    def __init__(
        self,
        message: str,
        hints: Sequence[str] = (),
        *,
        status: int = 0,
        code: str = "",
        temporary: bool = False,
        after: float = 0.0,
    ) -> None:
        super().__init__(message, hints)
        self.status = status
        self.code = code
        self.temporary = temporary
        self.after = after


class DeployError(DynamoError):
    """Manifests are wrong, or the cluster refused or failed."""

    exit_code = 14


class ToolMissing(DynamoError):
    """A program or service that is needed is not there."""

    exit_code = 15


class StoreError(DynamoError):
    """The bento store, or an item of it, is damaged or not writable."""

    exit_code = 16


class ServeError(DynamoError):
    """The graph could not be started, or a service of it failed for good."""

    exit_code = 17
