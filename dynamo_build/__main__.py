"""The command `dynamo`, also as `python -m dynamo_build`, with an interrupt handler set before anything loads.

Names of files are UTF-8 whatever the locale says, or a bento would be another one there.
"""

import _signal as signal  # type: ignore[import-not-found]  # built in: `signal` itself takes time to load
import os
import sys


def _leave(number: int, frame: object) -> None:
    os.write(2, b"interrupted\n")
    os._exit(130)  # errors.INTERRUPTED; nothing is imported before the handler is set


def _open_streams() -> None:
    """A stream that the caller closed goes nowhere; the first file that we open would be in its place."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            stream = open(descriptor, "w" if descriptor else "r", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def main() -> None:
    """Load the command line and run it."""
    _open_streams()
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        encoding = getattr(sys.stdout, "encoding", "") or "ascii"  # what is said stays in the terminal's own
        os.environ.setdefault("PYTHONIOENCODING", f"{encoding}:backslashreplace")
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - ourselves again
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # a shell's background job
        signal.signal(signal.SIGINT, _leave)
    from dynamo_build.cli import app

    app.main()


if __name__ == "__main__":
    main()
