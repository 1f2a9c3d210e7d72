"""Registrations: by operators, by workers, and when they leave."""

from __future__ import annotations

import asyncio

import pytest

from dynamo.coordination.discovery import Instance, MemoryDiscovery, new_id
from dynamo.http.openai import llmctl
from dynamo.http.openai.models import ModelRegistry, parse_kind, parse_registration
from dynamo.rpc.memory import MemoryTransport
from dynamo.rpc.runtime import DistributedRuntime, connect
from dynamo.sdk.errors import BadRequest
from support.in_process import running
from support.nats import nats_server
from support.openai_service import Words


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("dynamo.Processor.chat/completions", ("dynamo", "Processor", "chat/completions")),
        ("Processor.chat/completions", ("own", "Processor", "chat/completions")),
        ("ns/Worker/generate", ("ns", "Worker", "generate")),
        ("dyn://ns.Worker.generate", ("ns", "Worker", "generate")),
        ("Worker.generate", ("own", "Worker", "generate")),
        ("ns.Worker.v1.chat", ("ns", "Worker", "v1.chat")),
    ],
)
def test_endpoints(text: str, parts: tuple[str, str, str]) -> None:
    """Endpoints are written with dots or slashes, with or without namespace."""
    model = parse_registration("chat", "m", text, "own")
    assert (model.namespace, model.component, model.endpoint) == parts


@pytest.mark.parametrize("text", ["", "generate", ".a.b", "a..b", "a/"])
def test_wrong_endpoints(text: str) -> None:
    """What is no endpoint is refused."""
    with pytest.raises(BadRequest):
        parse_registration("chat", "m", text)


def test_kinds() -> None:
    """Kinds as operators write them."""
    assert [parse_kind(text) for text in ("chat", "chat-models", "completions", "Embedding")] == [
        "chat",
        "chat",
        "completion",
        "embedding",
    ]
    with pytest.raises(BadRequest):
        parse_kind("image")
    with pytest.raises(BadRequest):
        parse_registration("chat", "/name", "a.b.c")


async def test_add_and_remove() -> None:
    """A name is taken once for each kind, and free again when it was removed."""
    registry = ModelRegistry(await running(Words))
    await registry.add_model(parse_registration("chat", "m/1", "test.Words.plain"))
    with pytest.raises(BadRequest, match=r"test\.Words\.plain"):
        await registry.add_model(parse_registration("chat", "m/1", "test.Words.other"))
    await registry.add_model(parse_registration("completion", "m/1", "test.Words.complete"))
    assert [model.kind for model in await registry.read_live()] == ["chat", "completion"]
    assert await registry.remove_model("chat", "m/1")
    assert not await registry.remove_model("chat", "m/1")
    assert await registry.find_model("chat", "m/1") is None


async def test_leaves_with_worker() -> None:
    """A model whose worker went is not offered, and is again when the worker is back."""
    runtime = DistributedRuntime(MemoryTransport(), MemoryDiscovery())
    registry = ModelRegistry(runtime)
    await registry.add_model(parse_registration("chat", "m", "ns.Worker.generate"))
    assert await registry.read_live() == ()
    worker = Instance(namespace="ns", component="Worker", id=new_id(), address="a", endpoints=("generate",))
    lease = await runtime.discovery.register(worker)
    assert [model.name for model in await registry.read_live()] == ["m"]
    await lease.close()
    assert await registry.read_live() == ()


async def test_announced() -> None:
    """What a process announced is gone with it; several may announce the same, but not another endpoint."""
    runtime = await running(Words)
    registry = ModelRegistry(runtime)
    model = parse_registration("chat", "m", "test.Words.plain")
    one, two = await registry.announce_model(model), await registry.announce_model(model)
    with pytest.raises(BadRequest):
        await registry.announce_model(parse_registration("chat", "m", "test.Words.other"))
    await one.close()
    assert await registry.find_model("chat", "m") is not None
    await two.close()
    await registry.refresh()
    assert await registry.find_model("chat", "m") is None


@pytest.mark.nats
def test_llmctl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The command against a real server: add, list, refuse, remove; and the records outlive the command."""
    with nats_server() as server:
        monkeypatch.setenv("NATS_SERVER", server.url)
        assert llmctl.main(["http", "add", "chat", "org/model", "ns.Worker.my_chat_completions_endpoint"]) == 0
        assert "no worker" in capsys.readouterr().err
        assert llmctl.main(["http", "add", "chat", "org/model", "ns.Worker.other"]) == 1
        assert "registered already" in capsys.readouterr().err
        assert llmctl.main(["http", "list"]) == 0
        shown = capsys.readouterr()
        assert (shown.out, "1 more" in shown.err) == ("", True)

        async def serve_and_list() -> int:
            async with await connect() as runtime:
                await runtime.discovery.register(
                    Instance(
                        namespace="ns", component="Worker", id=new_id(), address="a",
                        endpoints=("my_chat_completions_endpoint",),
                    )
                )  # fmt: skip
                return await asyncio.to_thread(llmctl.main, ["http", "list", "chat-models"])

        assert asyncio.run(serve_and_list()) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].split() == ["KIND", "MODEL", "NAMESPACE", "COMPONENT", "ENDPOINT", "INSTANCES"]
        assert lines[1].split() == ["chat", "org/model", "ns", "Worker", "my_chat_completions_endpoint", "1"]
        assert llmctl.main(["http", "remove", "chat", "org/model"]) == 0
        assert llmctl.main(["http", "remove", "chat", "org/model"]) == 1
        assert llmctl.main(["http", "list", "--all", "-o", "json"]) == 0
        assert capsys.readouterr().out == "[]\n"


async def test_known_models_outlive_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """While NATS is away, models that are known are found at once; those that are not are not made up."""
    registry = ModelRegistry(await running(Words))
    await registry.add_model(parse_registration("chat", "m", "test.Words.plain"))
    assert await registry.find_model("chat", "m")

    async def away() -> dict[str, bytes]:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(registry._records, "read_all", away)
    async with asyncio.timeout(60):
        for seconds in (1, 60):  # since it was read: a little stale, and long
            registry._until = asyncio.get_running_loop().time() - seconds
            assert await registry.find_model("chat", "m")
