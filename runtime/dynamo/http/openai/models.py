"""The endpoint of each model: registered by an operator (`llmctl`) or by the worker itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from dynamo.coordination.discovery import Instance, Lease, Watch, new_id
from dynamo.coordination.records import open_records
from dynamo.messages import naming
from dynamo.messages.payload import encode
from dynamo.rpc.client import Call
from dynamo.rpc.runtime import DistributedRuntime
from dynamo.sdk.errors import BadRequest, Unavailable

RECORDS = "dynamo_models"
LEASES = "_models"
"""The namespace of registrations that live with a process; no service can have it, since theirs begin with a letter."""
KINDS = ("chat", "completion", "embedding")
FRESH_SECONDS = 1.0
STALE_SECONDS = 10.0
GLANCE_SECONDS = 0.5


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """A model by name, what it can be asked for, and the endpoint that answers."""

    kind: str
    name: str
    namespace: str
    component: str
    endpoint: str
    created: int = 0

    @property
    def key(self) -> str:
        """Its key among the records."""
        return f"{self.kind}.{naming.encode_token(self.name)}"


@dataclass(frozen=True, slots=True)
class Listed:
    """A registration, and how many instances of its endpoint are there."""

    registration: Registration
    instances: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Registration).decode


def parse_kind(text: str) -> str:
    """A kind as operators write it: `chat`, `chats`, `chat-models`. Raises BadRequest."""
    kind = text.lower().removesuffix("-models").removesuffix("-model").removesuffix("s")
    if kind not in KINDS:
        raise BadRequest(f"`{text}` is not a kind of model; kinds are {', '.join(KINDS)}")
    return kind


def parse_registration(kind: str, name: str, endpoint: str, namespace: str = "dynamo") -> Registration:
    """A registration from what operators write: the endpoint is `[namespace.]component.endpoint`, or with slashes.

    Raises BadRequest.
    """
    if not name or name.startswith("/") or not name.isprintable():
        raise BadRequest(f"`{name}` cannot be the name of a model")
    text = endpoint.removeprefix("dynamo://").removeprefix("dyn://")
    first = min((text.find(mark) for mark in "./" if mark in text), default=-1)
    if first < 1:
        raise BadRequest(f"`{endpoint}` is not namespace.component.endpoint")
    # After the component everything is the endpoint's name, which may hold slashes: Processor.chat/completions.
    parts = text.split(text[first], 2)
    if len(parts) == 2:
        parts = [namespace, *parts]
    if not all(parts):
        raise BadRequest(f"`{endpoint}` is not namespace.component.endpoint")
    return Registration(
        kind=parse_kind(kind),
        name=name,
        namespace=parts[0],
        component=parts[1],
        endpoint=parts[2],
        created=int(time.time()),
    )


class ModelRegistry:
    """The registrations of a graph."""

    def __init__(self, runtime: DistributedRuntime) -> None:
        self._runtime = runtime
        self._records = open_records(runtime.discovery, RECORDS)
        self._found: dict[tuple[str, str], Registration] = {}
        self._until = 0.0
        self._reading: asyncio.Future[None] | None = None
        self._leased: dict[str, Watch] = {}

    async def add_model(self, model: Registration) -> None:
        """Register until it is removed. Raises BadRequest when the name is taken, Unavailable."""
        await self._refuse_taken(model)
        if not await self._records.create(model.key, _encode(model)):
            raise BadRequest(f"a {model.kind} model `{model.name}` is registered already")
        self._until = 0.0

    async def announce_model(self, model: Registration) -> Lease:
        """Register as long as this process lives; several may announce the same. Raises BadRequest, Unavailable."""
        taken = await self._find_registered(model)
        if taken is not None and taken != model and _get_address(taken) != _get_address(model):
            raise BadRequest(f"a {model.kind} model `{model.name}` is registered already, at {format_path(taken)}")
        entry = Instance(
            namespace=LEASES, component=model.kind, id=new_id(), address=_encode(model).decode(), endpoints=()
        )
        self._until = 0.0
        return await self._runtime.discovery.register(entry)

    async def remove_model(self, kind: str, name: str) -> bool:
        """Forget what an operator registered; False when nothing was. Raises BadRequest, Unavailable."""
        self._until = 0.0
        return await self._records.delete(f"{parse_kind(kind)}.{naming.encode_token(name)}")

    async def read_all(self) -> tuple[Listed, ...]:
        """All registrations, also those whose worker is not there. Raises Unavailable."""
        await self._read_registrations()
        ordered = sorted(self._found.values(), key=lambda model: (KINDS.index(model.kind), model.name))
        return tuple([Listed(model, await self.count_instances(model)) for model in ordered])

    async def read_live(self) -> tuple[Registration, ...]:
        """The registrations whose worker is there."""
        return tuple(entry.registration for entry in await self.read_all() if entry.instances)

    async def find_model(self, kind: str, name: str) -> Registration | None:
        """The model of that name, also when its worker is not there. Raises Unavailable when nothing was ever read.

        A known one is answered at once and looked up behind it, so that no request waits for a server that is away.
        """
        now = asyncio.get_running_loop().time()
        if (kind, name) not in self._found:
            await self.refresh()
        elif now >= self._until:
            reading = self._read_again()
            if now >= self._until + STALE_SECONDS:
                await asyncio.wait((reading,), timeout=GLANCE_SECONDS)
        return self._found.get((kind, name))

    def list_kinds(self, name: str) -> tuple[str, ...]:
        """What the model of that name was registered for, as last read."""
        return tuple(kind for kind in KINDS if (kind, name) in self._found)

    async def count_instances(self, model: Registration) -> int:
        """How many instances of a model's endpoint are there."""
        watch = await self._runtime.get_callee(model.namespace, model.component).open_watch()
        return len(watch.list_instances(model.endpoint))

    def call_model(self, model: Registration, request: Any) -> Call:
        """A call of a model's endpoint, at the least loaded of its instances."""
        callee = self._runtime.get_callee(model.namespace, model.component)
        return Call(callee, model.endpoint, encode(request), callee.pick_least_loaded, wrap=_keep_value)

    async def refresh(self) -> None:
        """Read the registrations again; what was read before stays when the server is away."""
        try:
            await asyncio.shield(self._read_again())
        except Unavailable:
            if not self._until:
                raise

    def _read_again(self) -> asyncio.Future[None]:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.ensure_future(self._read_registrations())
            self._reading.add_done_callback(lambda done: done.cancelled() or done.exception())
        return self._reading

    async def _read_registrations(self) -> None:
        stored = _decode_summary((await self._records.read_all()).values())
        for kind in KINDS:
            if kind not in self._leased:
                self._leased[kind] = await self._runtime.discovery.watch(LEASES, kind)
        leased = _decode_summary(
            entry.address.encode() for watch in self._leased.values() for entry in watch.list_instances()
        )
        self._found = {(model.kind, model.name): model for model in (*leased, *stored)}
        self._until = asyncio.get_running_loop().time() + FRESH_SECONDS

    async def _find_registered(self, model: Registration) -> Registration | None:
        await self._read_registrations()
        return self._found.get((model.kind, model.name))

    async def _refuse_taken(self, model: Registration) -> None:
        taken = await self._find_registered(model)
        if taken is not None:
            raise BadRequest(f"a {model.kind} model `{model.name}` is registered already, at {format_path(taken)}")


def format_path(model: Registration) -> str:
    """Where a model's endpoint is, as operators write it."""
    return f"{model.namespace}.{model.component}.{model.endpoint}"


def _get_address(model: Registration) -> tuple[str, str, str]:
    return model.namespace, model.component, model.endpoint


def _keep_value(value: Any) -> Any:
    return value


def _decode_summary(values: Iterable[bytes]) -> list[Registration]:
    found = []
    for value in values:
        try:
            model = _decode(value)
        except msgspec.DecodeError:
            continue  # not an entry of ours; nobody else's model is lost because of it
        if model.kind in KINDS:
            found.append(model)
    return found
