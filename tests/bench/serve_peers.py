"""Hello world of three services as the peers serve it, and the servers alone: how each is started, on a port."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import peers

ROOT = Path(__file__).resolve().parent.parent.parent

BENTOML = """
import bentoml
from collections.abc import AsyncGenerator

@bentoml.service(workers=1)
class Backend:
    @bentoml.api
    async def generate(self, text: str) -> AsyncGenerator[str, None]:
        for word in f"{text}-back".split():
            yield f"Backend: {word}"

@bentoml.service(workers=1)
class Middle:
    backend = bentoml.depends(Backend)

    @bentoml.api
    async def generate(self, text: str) -> AsyncGenerator[str, None]:
        async for answer in self.backend.to_async.generate(text=f"{text}-mid"):
            yield f"Middle: {answer}"

@bentoml.service(workers=1)
class Frontend:
    middle = bentoml.depends(Middle)

    @bentoml.api
    async def generate(self, text: str) -> AsyncGenerator[str, None]:
        async for answer in self.middle.to_async.generate(text=text):
            yield f"Frontend: {answer}\\n"
"""

AI_DYNAMO = """
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from dynamo.sdk import api, depends, endpoint, service

class RequestType(BaseModel):
    text: str

@service(dynamo={"namespace": "inference"})
class Backend:
    @endpoint()
    async def generate(self, req: RequestType):
        for word in f"{req.text}-back".split():
            yield f"Backend: {word}"

@service(dynamo={"namespace": "inference"})
class Middle:
    backend = depends(Backend)

    @endpoint()
    async def generate(self, req: RequestType):
        async for answer in self.backend.generate(RequestType(text=f"{req.text}-mid").model_dump_json()):
            yield f"Middle: {answer}"

@service(dynamo={"namespace": "inference"})
class Frontend:
    middle = depends(Middle)

    @api()
    async def generate(self, request: RequestType):
        async def lines():
            async for answer in self.middle.generate(request.model_dump_json()):
                yield f"Frontend: {answer}\\n"

        return StreamingResponse(lines(), media_type="text/plain")
"""

RAY = """
import sys, time
import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import StreamingResponse

@serve.deployment
class Backend:
    async def generate(self, text):
        for word in f"{text}-back".split():
            yield f"Backend: {word}"

@serve.deployment
class Middle:
    def __init__(self, backend):
        self.backend = backend.options(stream=True)

    async def generate(self, text):
        async for answer in self.backend.generate.remote(f"{text}-mid"):
            yield f"Middle: {answer}"

@serve.deployment(max_ongoing_requests=100)
class Frontend:
    def __init__(self, middle):
        self.middle = middle.options(stream=True)

    async def __call__(self, request: Request):
        text = (await request.json())["text"]

        async def lines():
            async for answer in self.middle.generate.remote(text):
                yield f"Frontend: {answer}\\n"

        return StreamingResponse(lines(), media_type="text/plain")

ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
serve.run(Frontend.bind(Middle.bind(Backend.bind())), route_prefix="/generate")
time.sleep(3600)
"""

ALONE = """
import json

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    message = await receive()
    text = json.loads(message["body"])["text"]
    body = f"Frontend: Middle: Backend: {text}-mid-back\\n".encode()
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
"""


@dataclass(frozen=True, slots=True)
class Side:
    """One way to serve: its name, and a context that serves on a port; it gives the process, and those that it needs."""

    name: str
    served: Callable[[int], contextlib.AbstractContextManager[tuple[int, ...]]]


def sides() -> list[Side]:
    """All that can be had here; the others are named on stderr."""
    python = sys.executable
    found = [
        Side("ours", _process(lambda port: [python, "-m", "dynamo_build", "serve", "hello_world:Frontend", "--port", str(port)],
                              ROOT / "examples" / "hello_world")),
        Side("uvicorn alone: no other service behind it", _process(lambda port: _uvicorn(port), files={"alone.py": ALONE})),
    ]  # fmt: skip
    if (binaries := peers.environment_of("granian")) is not None:

        def granian(port: int) -> list[str]:
            return [str(binaries / "python"), "-m", "granian", "alone:app", "--interface", "asgi", "--port", str(port), "--loop", "uvloop",
                    "--no-access-log", "--log-level", "error"]  # fmt: skip

        found.append(Side("granian alone", _process(granian, files={"alone.py": ALONE})))
    if (bento := peers.environment_of("bentoml")) is not None:

        def bentoml(port: int) -> list[str]:
            return [str(bento / "bentoml"), "serve", "service:Frontend", "--host", "127.0.0.1", "--port", str(port)]

        found.append(
            Side("bentoml 1.4.39", _process(bentoml, files={"service.py": BENTOML}, BENTOML_DO_NOT_TRACK="True"))
        )
    if (ray := peers.environment_of("ray")) is not None:
        found.append(
            Side("Ray Serve", _process(lambda port: [str(ray / "python"), "app.py", str(port)], files={"app.py": RAY},
                                       RAY_USAGE_STATS_ENABLED="0"))
        )  # fmt: skip
    if (other := peers.environment_of("ai-dynamo")) is not None:
        found.append(Side("ai-dynamo 0.3.2", lambda port: _ai_dynamo(other, port)))
    return found


def _uvicorn(port: int) -> list[str]:
    return [sys.executable, "-m", "uvicorn", "alone:app", "--port", str(port), "--loop", "uvloop", "--http", "httptools",
            "--no-access-log", "--log-level", "error", "--lifespan", "off"]  # fmt: skip


def _process(
    command: Callable[[int], list[str]],
    folder: Path | None = None,
    files: dict[str, str] | None = None,
    **environment: str,
) -> Callable[[int], contextlib.AbstractContextManager[tuple[int, ...]]]:
    @contextlib.contextmanager
    def served(port: int) -> Iterator[tuple[int, ...]]:
        with contextlib.ExitStack() as closing:
            place = folder or Path(closing.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
            for name, text in (files or {}).items():
                (place / name).write_text(text)
            process = _started(command(port), place, {**os.environ, **environment})
            closing.callback(_ended, process)
            yield (process.pid,)

    return served


@contextlib.contextmanager
def _ai_dynamo(binaries: Path, port: int) -> Iterator[tuple[int, ...]]:
    """With an etcd and a NATS server of its own, which it needs to be there."""
    nats = Path(sys.executable).parent / "nats-server"
    client, member = "http://127.0.0.1:14579", "http://127.0.0.1:14580"
    beside: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, contextlib.ExitStack() as closing:
        etcd = ["etcd", "--data-dir", f"{name}/etcd", "--listen-client-urls", client, "--advertise-client-urls", client,
                "--listen-peer-urls", member, "--initial-advertise-peer-urls", member,
                "--initial-cluster", f"default={member}"]  # fmt: skip
        for command in (etcd, [str(nats), "-a", "127.0.0.1", "-p", "14581", "-js", "-sd", f"{name}/nats"]):
            beside.append(_started(command, Path(name), dict(os.environ)))
            closing.callback(_ended, beside[-1])
        time.sleep(2)
        environment = {
            **os.environ, "NATS_SERVER": "nats://127.0.0.1:14581", "ETCD_ENDPOINTS": client, "DYNAMO_PORT": str(port),
            "DYNAMO_HOST": "127.0.0.1", "DYN_TCP_RPC_HOST": "127.0.0.1", "DYN_TCP_RESPONSE_STREAM_HOST": "127.0.0.1",
            "DYN_LOG": "error", "PATH": f"{binaries}:{os.environ['PATH']}",
        }  # fmt: skip
        environment.pop("PYTHONPATH", None)
        Path(name, "hello_world.py").write_text(AI_DYNAMO)
        process = _started([str(binaries / "dynamo"), "serve", "hello_world:Frontend"], Path(name), environment)
        closing.callback(_ended, process)
        yield process.pid, *(one.pid for one in beside)


def _started(command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    if not command[0].startswith(str(Path(sys.executable).parent)):
        environment.pop("PYTHONPATH", None)
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _ended(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            pass
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait()
