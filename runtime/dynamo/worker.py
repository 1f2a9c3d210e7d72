"""`python -m dynamo.worker [SERVICE]`: the image's entrypoint, for one service in this process, or for all."""

from __future__ import annotations

import os
import socket
import sys

from dynamo.http.http_server import open_listener
from dynamo.process.run_service import CANNOT_START, Assignment, StartError, print_line, read_bento, run_worker
from dynamo.sdk.errors import EXIT_FAILED
from dynamo.sdk.graph import ServiceSpec


def main(arguments: list[str]) -> int:
    """Serve the named service, or every service of the graph when none is named. Returns the exit code."""
    if not arguments:
        from dynamo.process import supervisor  # one service alone needs none of it

        return int(supervisor.main([]))
    if len(arguments) > 1 or arguments[0].startswith("-"):
        print_line("usage: python -m dynamo.worker [SERVICE]")
        return 2
    try:
        graph, _ = read_bento(os.environ)
        if arguments[0] not in graph.names:
            raise StartError(f"the graph has no service `{arguments[0]}`; it has {', '.join(graph.names)}")
        http, system = _open_sockets(graph.service(arguments[0]))
    except StartError as error:
        print_line(f"error: {error}")
        return EXIT_FAILED
    code = run_worker(Assignment(service=arguments[0], http=http, system=system))
    return EXIT_FAILED if code == CANNOT_START else code


def _open_sockets(service: ServiceSpec) -> tuple[socket.socket | None, socket.socket | None]:
    host, port = os.environ.get("DYNAMO_HOST", "127.0.0.1"), os.environ.get("DYNAMO_PORT", "8000")
    system, system_port = os.environ.get("DYNAMO_SYSTEM_HOST", "127.0.0.1"), os.environ.get("DYNAMO_SYSTEM_PORT", "0")
    try:
        where = f"{host}:{port}"
        http = open_listener(host, int(port)) if service.http else None
        where = f"{system}:{system_port}"
        return http, open_listener(system, int(system_port)) if int(system_port) else None
    except (OSError, ValueError) as error:
        raise StartError(f"cannot listen on {where}: {getattr(error, 'strerror', None) or error}") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
