"""The command `dynamo`, also as `python -m dynamo_build`: Ctrl-C is heard before everything is loaded, too."""

import _signal as signal  # type: ignore[import-not-found]  # built in: `signal` itself takes time to load
import os


def _leave(number: int, frame: object) -> None:
    os.write(2, b"interrupted\n")
    os._exit(130)


def main() -> None:
    """Load the command line and run it."""
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # a shell's background job
        signal.signal(signal.SIGINT, _leave)
    from dynamo_build.cli import app

    app.main()


if __name__ == "__main__":
    main()
