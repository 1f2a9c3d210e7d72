"""The client that `.endpoint(…).client()` gives: routing by the caller, items with `.data()`."""

from __future__ import annotations

import asyncio
from typing import Any

from dynamo.messages import payload
from dynamo.rpc.balancing import Component, Pick
from dynamo.rpc.client import Call, body_of
from dynamo.sdk.errors import BadRequest, Unavailable


class DataRecord(payload.Record):
    """An object item."""

    def data(self) -> dict[str, Any]:
        """The item as a plain dict."""
        return dict(self)


class DataText(str):
    """A text item."""

    __slots__ = ()

    def data(self) -> str:
        """The item as plain text."""
        return str(self)


class DataBytes(bytes):
    """A bytes item."""

    def data(self) -> bytes:
        """The item as plain bytes."""
        return bytes(self)


class DataList(list[Any]):
    """A list item."""

    def data(self) -> list[Any]:
        """The item as a plain list."""
        return list(self)


class DataInteger(int):
    """A whole number."""

    def data(self) -> int:
        """The item as a plain number."""
        return int(self)


class DataNumber(float):
    """A number."""

    def data(self) -> float:
        """The item as a plain number."""
        return float(self)


class DataScalar:
    """An item whose type cannot be extended: true, false, null, a time."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def data(self) -> Any:
        """The item itself."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return bool(self._value == getattr(other, "_value", other))

    def __hash__(self) -> int:
        return hash(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return repr(self._value)


_KINDS: dict[type, type] = {
    dict: DataRecord,
    str: DataText,
    bytes: DataBytes,
    list: DataList,
    int: DataInteger,
    float: DataNumber,
}


def with_data(value: Any) -> Any:
    """A decoded value that also has `.data()`."""
    return _KINDS.get(type(value), DataScalar)(value)


class Client:
    """A client of one endpoint. `generate` is the default routing; the endpoint's own name works too."""

    def __init__(self, component: Component, endpoint: str) -> None:
        self._component = component
        self._endpoint = endpoint

    def _build_call(
        self, pick: Pick, request: tuple[Any, ...], keys: dict[str, Any], timeout: float, direct: int | None = None
    ) -> Call:
        body = payload.encode(body_of(request, keys, self._endpoint))
        return Call(self._component, self._endpoint, body, pick, direct=direct, timeout=timeout, wrap=with_data)

    def generate(self, *request: Any, timeout: float = 0.0, **keys: Any) -> Call:
        """Call any instance."""
        return self._build_call(self._component.pick_random, request, keys, timeout)

    def random(self, *request: Any, timeout: float = 0.0, **keys: Any) -> Call:
        """Call any instance."""
        return self._build_call(self._component.pick_random, request, keys, timeout)

    def round_robin(self, *request: Any, timeout: float = 0.0, **keys: Any) -> Call:
        """Call the instances one after the other."""
        return self._build_call(self._component.pick_round_robin, request, keys, timeout)

    def least_loaded(self, *request: Any, timeout: float = 0.0, **keys: Any) -> Call:
        """Call the instance that runs the fewest calls of this process."""
        return self._build_call(self._component.pick_least_loaded, request, keys, timeout)

    def direct(self, request: Any, instance_id: int | str, *, timeout: float = 0.0) -> Call:
        """Call this instance and no other. Raises BadRequest when the id is not one."""
        try:
            instance = int(instance_id)
        except (TypeError, ValueError):
            raise BadRequest(f"`{instance_id}` is not an instance id") from None
        return self._build_call(self._component.pick_random, (request,), {}, timeout, instance)

    def instance_ids(self) -> list[int]:
        """The ids of the instances that are there now."""
        watch = self._component.active_watch
        return sorted(instance.id for instance in watch.list_instances(self._endpoint)) if watch else []

    async def wait_for_instances(self, count: int = 1, timeout: float = 30.0) -> list[int]:
        """Return the ids when that many instances are there. Raises Unavailable when the time passed."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout
        watch = await self._component.open_watch()
        while len(watch.list_instances(self._endpoint)) < count:
            left = until - loop.time()
            if left <= 0:
                seen = len(watch.list_instances(self._endpoint))
                raise Unavailable(f"{seen} of {count} instances of `{self._component.component}` after {timeout:.3g} s")
            await watch.wait_for_change(min(left, 0.5))
        return self.instance_ids()

    def __getattr__(self, name: str) -> Any:
        if name == self.__dict__.get("_endpoint"):
            return self.generate
        known = "generate, random, round_robin, least_loaded, direct"
        raise AttributeError(f"a client of `{self.__dict__.get('_endpoint')}` has no `{name}`; it has {known}")
