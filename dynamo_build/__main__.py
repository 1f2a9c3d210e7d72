"""The command `dynamo`, also as `python -m dynamo_build`: Ctrl-C is heard before everything is loaded, too."""

import os

import _signal as signal  # there from the start: `signal` itself takes time to load


def _leave(number: int, frame: object) -> None:
    os.write(2, b"interrupted\n")
    os._exit(130)


def main() -> None:
    """Load the command line and run it."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _leave)
    from dynamo_build.cli import app

    app.main()


if __name__ == "__main__":
    main()
