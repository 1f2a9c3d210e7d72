"""`dynamo http`: the OpenAI-compatible server alone."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer


def http(
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="HTTP port; 0 picks a free one.")] = 8080,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    timeout: Annotated[
        float, typer.Option("--timeout", min=0, help="Time limit of one request in seconds; 0: none.")
    ] = 0.0,
) -> None:
    """Serve the OpenAI API for the models of the running graph, until Ctrl-C.

    Models are registered with `llmctl http add chat NAME NAMESPACE.COMPONENT.ENDPOINT`. The graph is that of
    `dynamo serve`, or of NATS_SERVER. DYNAMO_API_KEYS and DYNAMO_CORS_ORIGINS limit access.

    Example: dynamo http --port 8080
    """
    arguments = ["--host", host, "--port", str(port), "--timeout", str(timeout)]
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "dynamo.http.openai", *arguments])  # noqa: S606
