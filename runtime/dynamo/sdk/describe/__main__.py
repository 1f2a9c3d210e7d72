"""`python -m dynamo.sdk.describe TARGET --project DIR --report-fd N`: import a graph and report it as a value.

Runs the author's code, so it runs in a process of its own, and reports on a descriptor that this code does not know.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

from dynamo.sdk import codec, compatible
from dynamo.sdk.describe import assemble, stand_in, targets
from dynamo.sdk.describe.failures import TimeUp, describe_refusal, is_authors, problem_of
from dynamo.sdk.errors import Unresolved
from dynamo.sdk.graph import Discovery, is_own, make_relative, own_path

#: The exit code that says: not the author's mistake, but ours; the traceback is in the output.
BUG = 70

_USAGE = (
    "usage: python -m dynamo.sdk.describe TARGET --project DIR --report-fd N [--timeout SECONDS] [--stand-in MODULE]… "
    "[--closed yes]"
)


def describe_target(target: str, project: str, stand_ins: list[str], *, closed: bool = False) -> Discovery:
    """Import a target and describe its graph; what the author's code raises becomes a problem."""
    finder = stand_in.install_finder(stand_ins, closed=closed)
    compatible.install()
    try:
        name, entry = targets.resolve_target(target, project)
        found = assemble.assemble_graph(name, entry, project, _own_modules(project), tuple(sorted(finder.used)))
        if stand_in.refused:
            raise Unresolved(
                *(describe_refusal(message, file, line, project) for message, file, line in stand_in.refused)
            )
    except Unresolved as error:
        found = Discovery(
            problems=tuple(replace(each, where=make_relative(each.where, project)) for each in error.problems)
        )
    except BaseException as error:
        if not is_authors(error, project):
            raise
        found = Discovery(problems=(problem_of(error, project),))
    return Discovery(graph=found.graph, problems=found.problems, warnings=found.warnings, modules=_own_files(project))


def _own_modules(project: str) -> frozenset[str]:
    return frozenset(name for name, module in list(sys.modules.items()) if is_own(_get_file(module), project))


def _own_files(project: str) -> tuple[str, ...]:
    files = {_get_file(module) for module in list(sys.modules.values())}
    return tuple(sorted(own_path(file, project) for file in files if is_own(file, project)))


def _get_file(module: object) -> str:
    # From the namespace: a stand-in, or a module with a __getattr__ of its own, must not be asked.
    file = getattr(module, "__dict__", {}).get("__file__")
    return file if isinstance(file, str) else ""


def _set_limit(seconds: float) -> None:
    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise TimeUp(f"{seconds:g} seconds")

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def main(arguments: list[str]) -> NoReturn:
    """Run the command. Ends the process without waiting for threads that the author's code may have left."""
    values: dict[str, list[str]] = {}
    rest = list(arguments)
    positional = []
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            positional += rest
            break
        if argument.startswith("--") and rest:
            values.setdefault(argument, []).append(rest.pop(0))
        else:
            positional.append(argument)
    if len(positional) != 1 or "--project" not in values or "--report-fd" not in values:
        sys.stderr.write(_USAGE + "\n")
        raise SystemExit(2)
    report = os.dup(int(values["--report-fd"][0]))
    os.close(int(values["--report-fd"][0]))
    project = str(Path(values["--project"][0]).resolve())
    sys.dont_write_bytecode = True
    sys.path.insert(0, project)
    sys.argv = [positional[0]]
    if "--timeout" in values:
        _set_limit(float(values["--timeout"][0]))
    try:
        found = describe_target(positional[0], project, values.get("--stand-in", []), closed="--closed" in values)
    except BaseException:
        traceback.print_exc()
        os._exit(BUG)
    signal.setitimer(signal.ITIMER_REAL, 0)
    with os.fdopen(report, "wb") as stream:
        stream.write(codec.encode_canonical(found))
    for stream_of_author in (sys.stdout, sys.stderr):
        stream_of_author.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
