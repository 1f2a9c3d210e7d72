"""The command `python -m dynamo.bench`: load an endpoint and say what it gave."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from dynamo.bench import workloads
from dynamo.bench.generator import Load, run_load
from dynamo.bench.report import build_report, draw_charts, format_table
from dynamo.bench.stream import Endpoint, Measured


def build_parser() -> argparse.ArgumentParser:
    """The arguments."""
    made = argparse.ArgumentParser(
        prog="python -m dynamo.bench",
        description="Load an OpenAI endpoint; print times to the first token and between tokens, rates, prefix hits.",
        epilog="Example: python -m dynamo.bench --url http://127.0.0.1:8000 --model my-model --workload talks "
        "--rate 2 --requests 200 --plots plots",
    )
    made.add_argument("--url", required=True, help="the endpoint's address, with or without /v1")
    made.add_argument("--model", required=True)
    made.add_argument("--api", choices=("chat", "completions"), default="chat")
    made.add_argument("--key-env", default="OPENAI_API_KEY", help="the variable that holds the API key")
    made.add_argument("--workload", default="shared", help=f"{', '.join(workloads.KINDS)}, or the file of a trace")
    made.add_argument("--requests", type=int, default=100)
    made.add_argument("--concurrency", type=int, default=8, help="requests at a time, without --rate")
    made.add_argument("--rate", type=float, default=0.0, help="talks a second, however long the answers take")
    made.add_argument("--even", action="store_true", help="space them evenly, not by chance (Poisson)")
    made.add_argument("--prefixes", type=int, default=10)
    made.add_argument("--prefix-words", type=int, default=500)
    made.add_argument("--words", type=int, default=60, help="words of a question")
    made.add_argument("--turns", type=int, default=4, help="turns of a talk")
    made.add_argument("--max-tokens", type=int, default=64)
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--timeout", type=float, default=300.0, help="seconds for one answer")
    made.add_argument("--ignore-eos", action="store_true", help="ask the engine for answers of full length")
    made.add_argument("--plots", type=Path, help="a folder for pictures")
    made.add_argument("-o", "--output", choices=("text", "json"), default="text")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; the exit code is 0 when every request was answered, 1 when some were not, 2 when none could be made."""
    given = build_parser().parse_args(arguments)
    shape = workloads.Shape(
        kind=given.workload,
        prefixes=given.prefixes,
        prefix_words=given.prefix_words,
        words=given.words,
        turns=given.turns,
        max_tokens=given.max_tokens,
        seed=given.seed,
    )
    timed = given.workload not in workloads.KINDS
    try:
        if timed and not Path(given.workload).is_file():
            known = ", ".join(workloads.KINDS)
            raise ValueError(f"unknown workload `{given.workload}`, and no file of that name; there are {known}")
        talks = workloads.read_trace(Path(given.workload)) if timed else workloads.make_talks(shape)
        endpoint = Endpoint(
            url=given.url,
            model=given.model,
            chat=given.api == "chat",
            key=os.environ.get(given.key_env, ""),
            timeout=given.timeout,
            extra={"ignore_eos": True} if given.ignore_eos else {},
        )
        load = Load(
            requests=given.requests,
            concurrency=given.concurrency,
            rate=given.rate,
            even=given.even,
            timed=timed and not given.rate,
            seed=given.seed,
        )
        answers, seconds = asyncio.run(run_load(endpoint, talks, load))
    except ValueError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    return _print_report(answers, seconds, given)


def _print_report(answers: list[Measured], seconds: float, given: argparse.Namespace) -> int:
    found = build_report(answers, seconds)
    sys.stdout.write((json.dumps(asdict(found)) if given.output == "json" else format_table(found)) + "\n")
    if given.plots is not None:
        for path in draw_charts(answers, given.plots):
            sys.stderr.write(f"wrote {path}\n")
    return 1 if found.failed or not answers else 0


if __name__ == "__main__":
    sys.exit(main())
