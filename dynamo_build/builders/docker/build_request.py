"""The request `POST /build`: the only use of private methods of the package docker.

Its own `build` writes a tar with PAX headers, which would change the digest of the context, and has no parameter
`version`, with which BuildKit is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import docker


def post_build(
    client: docker.APIClient, parameters: Mapping[str, str], context: Iterable[bytes]
) -> Iterator[Mapping[str, Any]]:
    """The engine's messages for a build of this context, a tar. Raises the package's errors."""
    response = client._post(
        client._url("/build"),
        params=parameters,
        data=context,
        headers={"Content-Type": "application/x-tar"},
        stream=True,
    )
    client._raise_for_status(response)
    messages: Iterator[Mapping[str, Any]] = client._stream_helper(response, decode=True)
    return messages
