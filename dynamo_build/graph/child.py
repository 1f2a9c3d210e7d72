"""Import of the author's code in a child interpreter, which describes the graph there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from dynamo.sdk import codec
from dynamo.sdk.graph import Discovery, Problem
from dynamo_build.errors import GraphError, UsageError, count_problems
from dynamo_build.events import Finished, Listener, Output, Started, Warned, ignore
from dynamo_build.system.process import start_program, wait_for_exit

# dynamo.sdk.describe.BUG: a defect of ours. The toolchain must not import the module that runs the author's code.
_BUG = 70
# After its own alarm the child has this long to report where it was, before it is killed.
_GRACE = 3.0
_LONGEST = 86400.0
_TAIL = 20
_TAIL_BYTES = 64 * 1024
_TARGET = re.compile(r"[^:\s]*(:[^\W\d]\w*(\.[^\W\d]\w*)*)?")


def explore_graph(
    target: str,
    project: Path,
    *,
    timeout: float = 60.0,
    stand_ins: Sequence[str] = (),
    closed: bool = False,
    on: Listener = ignore,
) -> Discovery:
    """Describe the graph that `target` names in the folder `project`, importing it within `timeout` seconds.

    The result has the warnings and the project's own files that the import touched; its graph is never None. `closed`
    hides packages that are installed here and not stood in for, as the image may lack them. Raises GraphError with all
    problems of the graph, UsageError for a target or folder that is invalid.
    """
    if not project.is_dir():
        raise UsageError(f"`{project}` is not a folder", ["Name the folder that holds the graph's module."])
    if not _TARGET.fullmatch(target):
        hint = "Write `module:Service`, `path/file.py:Service`, or `module` when it has one entry service."
        raise UsageError(f"`{target}` is not a target", [hint])
    if not 0 < timeout <= _LONGEST:
        raise UsageError(
            f"invalid timeout of {timeout:g} seconds for the import", ["Give more than 0, and at most a day."]
        )
    on(Started(what="discover"))
    with tempfile.TemporaryFile() as report, tempfile.TemporaryFile() as output:
        code = _run_child(target, project.resolve(), timeout, stand_ins, closed, report, output)
        said = _read_tail(output)
        found = _read_report(report, code, timeout, said)
    for line in said:
        on(Output(line=line))
    for warning in found.warnings:
        on(Warned(text=format_problem(warning)))
    if found.graph is None:
        raise build_graph_error(target, found.problems, said)
    count = len(found.graph.services)
    on(Finished(what="discover", detail=f"{count} service{'s' if count != 1 else ''}"))
    return found


def format_problem(problem: Problem) -> str:
    """A problem on one line: where, what was seen, what to do."""
    where = f"{problem.where}: " if problem.where.file else ""
    return f"{where}{problem.message}" + (f" — {problem.hint}" if problem.hint else "")


def _run_child(
    target: str,
    project: Path,
    timeout: float,
    stand_ins: Sequence[str],
    closed: bool,
    report: IO[bytes],
    output: IO[bytes],
) -> int:
    """Run the child to its end and give its exit code. Files, not pipes: nothing the code starts can hold them up."""
    command = [sys.executable, "-P", "-m", "dynamo.sdk.describe", "--project", str(project)]
    command += ["--report-fd", str(report.fileno()), "--timeout", str(timeout)]
    for name in stand_ins:
        command += ["--stand-in", name]
    if closed:
        command += ["--closed", "yes"]
    # The order of sets must not decide what a graph looks like.
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "PYDANTIC_DISABLE_PLUGINS": "__all__"}
    environment.pop("DYNAMO_IMAGE", None)
    try:
        # Its whole group is ended, in every case: the author's code may have started programs of its own.
        with start_program(
            [*command, "--", target],
            cwd=project,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(report.fileno(),),
        ) as child:
            return wait_for_exit(child, timeout + _GRACE)
    except subprocess.TimeoutExpired:
        return -signal.SIGALRM


def _read_tail(output: IO[bytes]) -> list[str]:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - _TAIL_BYTES))
    return output.read().decode("utf-8", "replace").splitlines()[-_TAIL:]


def _read_report(report: IO[bytes], code: int, timeout: float, said: Sequence[str]) -> Discovery:
    report.seek(0)
    document = report.read()
    if code == _BUG:
        raise RuntimeError("describing the graph failed:\n" + "\n".join(said))
    if document:
        return codec.decode_json(Discovery, document)
    if code == -signal.SIGALRM:
        message, hint = f"the import did not finish within {timeout:g} seconds", "Look for code that waits at import."
    elif code < 0:
        message, hint = f"the import crashed ({_signal_name(-code)})", "Look for a native module that fails at import."
    else:
        message, hint = f"the code ended the interpreter at import (status {code})", "Remove `os._exit` and the like."
    return Discovery(problems=(Problem(message=message, hint=hint),))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def build_graph_error(target: str, problems: Sequence[Problem], said: Sequence[str] = ()) -> GraphError:
    """The error that holds these problems; `said` are the last lines that the code printed."""
    hints = [f"The code printed, last: {line}" for line in said[-3:] if line.strip()]
    whose = f"the graph of `{target}`" if target else "the project"
    return GraphError(f"{whose} has {count_problems(problems)}", hints, problems)
