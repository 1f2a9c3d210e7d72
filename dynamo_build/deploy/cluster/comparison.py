"""What an apply would change in an object, field by field, in words: also what it would take away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from dynamo_build.deploy.cluster.change import differences

Change = tuple[str, Any, Any]
_KEYS = ("name", "mountPath", "containerPort", "port")


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


NOTHING: Final = _Nothing()


def compared(wanted: Any, live: Any, before: Any = NOTHING, path: str = "") -> Iterator[Change]:
    """Path, value on the cluster and value after, for each field that an apply changes; NOTHING where there is none.

    `before` is what was applied last: what it has and `wanted` has not goes, unless it went already. What only the
    server has stays. Items of lists are told apart by their names, as server-side apply does.
    """
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        old = before if isinstance(before, Mapping) else {}
        for key, value in wanted.items():
            below = f"{path}.{key}" if path else str(key)
            yield from compared(value, live.get(key, NOTHING), old.get(key, NOTHING), below)
        for key in [key for key in old if key not in wanted and key in live]:
            yield f"{path}.{key}" if path else str(key), live[key], NOTHING
    elif isinstance(wanted, list) and isinstance(live, list):
        key = _key([*wanted, *live])
        if key:
            yield from _items(wanted, live, before if isinstance(before, list) else [], key, path)
        elif len(wanted) != len(live):
            yield path, live, wanted
        else:
            for index, value in enumerate(wanted):
                yield from compared(value, live[index], NOTHING, f"{path}[{index}]")
    elif live is NOTHING or differences(wanted, live):
        yield path, live, wanted


def _items(wanted: Sequence[Any], live: Sequence[Any], before: Sequence[Any], key: str, path: str) -> Iterator[Change]:
    present = {item[key]: item for item in live}
    old = {item[key]: item for item in before if isinstance(item, Mapping) and key in item}
    named = {item[key]: item for item in wanted}
    for name, item in named.items():
        yield from compared(item, present.get(name, NOTHING), old.get(name, NOTHING), f"{path}[{name}]")
    for name in [name for name in old if name not in named and name in present]:
        yield f"{path}[{name}]", present[name], NOTHING


def _key(items: Sequence[Any]) -> str:
    if items and all(isinstance(item, Mapping) for item in items):
        return next((key for key in _KEYS if all(key in item for item in items)), "")
    return ""
