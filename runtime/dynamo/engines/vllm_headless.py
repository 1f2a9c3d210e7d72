"""vLLM's workers without an engine, for a node that does not lead: `-m dynamo.engines.vllm_headless OPTIONS`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> None:
    """Run until the leader or a signal ends it. vLLM's own function does it, whatever its distribution is called."""
    serve = importlib.import_module("vllm.entrypoints.cli.serve")
    parsed = serve.make_arg_parser(serve.FlexibleArgumentParser()).parse_args([*arguments, "--headless"])
    parsed.api_server_count = 0
    serve.run_headless(parsed)


if __name__ == "__main__":
    main(sys.argv[1:])
