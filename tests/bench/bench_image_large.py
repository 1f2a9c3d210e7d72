"""A changed line over 1 GB of packages, beside BuildKit and docker-py; the first builds are shown too.

Needs the real parts (`eval "$(bash tests/support/stack.sh env)"`); without them it says so and writes no table.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench_image import GIGABYTE, cold, one_line, written
from image_bento import Project
from image_peers import Peer


def main() -> None:
    """Measure and write the tables to the path given."""
    written([(f"{len(GIGABYTE)} packages, 1 GB", GIGABYTE)], (first, line))


def first(project: Project, others: Sequence[Peer], title: str) -> dict[str, object]:
    """Without buildah, which is slower than both engines and would double the time of the run."""
    return cold(project, _fewer(others), title)


def line(project: Project, others: Sequence[Peer], title: str) -> dict[str, object]:
    """As for the smaller sets."""
    return one_line(project, _fewer(others), title)


def _fewer(others: Sequence[Peer]) -> list[Peer]:
    return [peer for peer in others if peer.name != "buildah"]


if __name__ == "__main__":
    main()
