"""Programs run to their end, and every way in which they do not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dynamo_build.errors import DynamoError, ToolMissing
from dynamo_build.events import Event, Output
from dynamo_build.system import process
from support.waiting import wait_until


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_stdout_comes_back_and_stderr_is_told() -> None:
    """What a program prints is its result; what it says on the side are events."""
    heard: list[Event] = []
    done = process.run_program(python("import sys; print('a'); print('b', file=sys.stderr)"), on=heard.append)
    assert done == "a\n"
    assert heard == [Output(line="b")]


def test_input_is_given() -> None:
    """Bytes can be handed to the program."""
    assert process.run_program(python("print(input())"), given=b"hello\n") == "hello\n"


def test_a_program_that_wants_no_input_is_not_in_the_way() -> None:
    """More input than is read is no failure of the program."""
    assert process.run_program(python("print(1)"), given=b"x" * 1_000_000) == "1\n"


def test_without_input_stdin_is_empty() -> None:
    """A program that asks a question gets no answer and does not wait for one."""
    assert process.run_program(python("import sys; print(len(sys.stdin.read()))"), timeout=10) == "0\n"


def test_failure_holds_the_code_and_the_end() -> None:
    """The error names the program, its code and what it said last."""
    code = "import sys\nfor i in range(100): print(i, file=sys.stderr)\nsys.exit(3)"
    with pytest.raises(process.ProgramFailed) as caught:
        process.run_program(python(code))
    assert caught.value.code == 3
    assert caught.value.tail == tuple(str(number) for number in range(80, 100))
    assert caught.value.message == f"`{Path(sys.executable).name}` ended with code 3: 99"


def test_failure_without_stderr_shows_stdout() -> None:
    """Programs that complain on stdout are heard too."""
    with pytest.raises(process.ProgramFailed, match="ended with code 1: broken"):
        process.run_program(python("print('broken'); raise SystemExit(1)"))


def test_a_signal_is_named() -> None:
    """A program that was killed says by what."""
    with pytest.raises(process.ProgramFailed, match="was ended by signal SIGKILL"):
        process.run_program(python("import os; os.kill(os.getpid(), 9)"))


def test_time_runs_out_for_the_program_and_its_children(tmp_path: Path) -> None:
    """Nothing is left behind: the whole group ends, with the children that hold its output open."""
    written = tmp_path / "pid"
    code = (
        "import subprocess, sys, pathlib, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])\n"
        f"pathlib.Path({str(written)!r}).write_text(str(child.pid))\n"
        "time.sleep(300)"
    )
    with pytest.raises(process.ProgramFailed, match=r"was stopped after 3 s") as caught:
        process.run_program(python(code), timeout=3)
    assert caught.value.code is None
    child = Path("/proc", written.read_text(), "stat")

    def ended() -> bool:
        try:
            return child.read_text().rpartition(")")[2].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    wait_until(ended)


def test_a_missing_program_has_the_callers_hints() -> None:
    """Who calls knows how to install it."""
    with pytest.raises(ToolMissing, match="there is no program `no-such-program`") as caught:
        process.run_program(["no-such-program"], hints=["Install it."])
    assert caught.value.hints == ("Install it.",)


def test_a_missing_folder_is_not_a_missing_program(tmp_path: Path) -> None:
    """The error names what is really missing."""
    with pytest.raises(DynamoError, match="there is no folder"):
        process.run_program(python("pass"), folder=tmp_path / "gone")


def test_a_file_that_cannot_be_run(tmp_path: Path) -> None:
    """A program without the right to be run is one clear line."""
    file = tmp_path / "tool"
    file.write_text("#!/bin/sh\n")
    with pytest.raises(ToolMissing, match="may not be run here"):
        process.run_program([file])


def test_odd_bytes_are_not_fatal() -> None:
    """Output in another encoding is shown as well as it can be."""
    assert process.run_program(python("import os; os.write(1, b'\\xff\\n')")) == "�\n"


def test_the_environment_is_the_one_given() -> None:
    """Nothing of ours leaks when an environment is given."""
    assert process.run_program(["/usr/bin/env"], environment={"ONLY": "this"}) == "ONLY=this\n"
    assert os.environ.get("ONLY") is None


INTERRUPTED = """
import os, signal, subprocess, sys, time
from dynamo_build.system import process

class Told(BaseException):
    pass

def tell(number, frame):
    raise Told

signal.signal(signal.SIGTERM, tell)
for number in range(1, 300):
    seen = 0
    def count(frame, event, argument):
        global seen
        seen += 1
        if seen == number:
            sys.setprofile(None)
            os.kill(os.getpid(), signal.SIGTERM)
    try:
        with process.start_program(["sleep", "60"]) as child:
            sys.setprofile(count)
            process.wait_for_exit(child, 60)
    except Told:
        assert child.returncode == -9, number
    else:
        raise AssertionError(number)
print("each one heard")
"""


def test_a_signal_at_any_call_of_the_wait() -> None:
    """A handler that raises ends the wait and the program, wherever it falls."""
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("each one heard\n", "")
