"""`python -m dynamo.supervisor`: all services of a graph on one host.

The command keeps its name whatever the modules behind it are called: `dynamo serve` runs it with the runtime that a
bento carries, which may be older than the toolchain.
"""

from __future__ import annotations

import sys

from dynamo.process.supervisor import main

if __name__ == "__main__":
    sys.exit(main())
