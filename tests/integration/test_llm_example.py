"""The LLM example as a user runs it: four graphs on a real model, on an engine without one, and behind `llmctl`."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import openai
import pytest
import yaml

from dynamo_build.local.page.measure import parse_samples
from support.command_line import dynamo
from support.hello import ROOT
from support.serving import Serve, gone
from support.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.nats
GRAPHS = ("agg", "agg_router", "disagg", "disagg_router")
QUESTION = [{"role": "user", "content": "What is two plus two?"}]
WITHOUT_MODEL = ("--Common.model=bytes", "--VllmWorker.engine=echo", "--Frontend.served_model_name=m")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the example."""
    shutil.copytree(ROOT / "examples/llm", tmp_path / "llm", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "llm"


@pytest.fixture
def start(project: Path):
    started: list[Serve] = []

    def begin(graph: str, *arguments: str) -> Serve:
        config = f"configs/laptop/{graph}.yaml"
        started.append(Serve(project, f"graphs.{graph}:Frontend", "-f", config, "--port", "0", *arguments))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def client(port: int) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="unused", max_retries=0, timeout=60)


def test_a_real_model(start):
    """From nothing to an answer in words; the same again, with the prompt computed once; then nothing is left."""
    began = time.monotonic()
    one = start("agg").ready()
    with client(one.port) as api:
        first = api.chat.completions.create(model="smollm2", messages=QUESTION, max_tokens=16, temperature=0)
        took = time.monotonic() - began
        again = api.chat.completions.create(model="smollm2", messages=QUESTION, max_tokens=16, temperature=0)
        text = api.completions.create(model="smollm2", prompt="Once upon a", max_tokens=4, temperature=0)
    assert len(first.choices[0].message.content.split()) > 4
    assert first.choices[0].message.content == again.choices[0].message.content
    assert again.usage.prompt_tokens_details.cached_tokens > first.usage.prompt_tokens // 2
    assert text.choices[0].text
    # 15 s is the promise for a machine that has nothing else to do.
    crowded = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert took < 15 * crowded, f"{took:.1f} s to the first answer"
    one.stop()
    gone(one)


@pytest.mark.parametrize("graph", GRAPHS)
def test_every_graph(start, graph):
    """All four graphs answer, with an engine that gives the prompt back."""
    more = ("--PrefillWorker.engine=echo",) if "disagg" in graph else ()
    one = start(graph, *WITHOUT_MODEL, *more).ready()
    with client(one.port) as api:
        parts = [
            part.choices[0].delta.content or ""
            for part in api.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "Grüße 日本 😀"}], stream=True, max_tokens=500
            )
        ]
    assert "".join(parts) == "user: Grüße 日本 😀\nassistant:"
    assert not any("\ufffd" in part for part in parts)
    with urlopen(f"http://127.0.0.1:{one.port}/metrics", timeout=5) as page:
        assert 'dynamo_requests_total{endpoint="/v1/chat/completions",outcome="ok"' in page.read().decode()
    # The dashboard and Prometheus see what routers are told.
    for worker in re.findall(r"VllmWorker.*health at (http://[^/]+)", one.said()):
        with urlopen(f"{worker}/metrics", timeout=5) as page:
            shown = {name for name, _ in parse_samples(page.read().decode())}
        assert {"dynamo_kv_hit_rate", "dynamo_kv_usage", "dynamo_engine_waiting"} <= shown
        assert ("dynamo_prefill_queue_depth" in shown) == ("disagg" in graph)
    assert "VllmWorker" in one.said()


def test_in_one_process(project):
    """The front that is its own Processor: the same answers, and others find its endpoints."""
    one = Serve(project, "graphs.front:Front", "--port", "0", "--VllmWorker.engine=echo", "--Front.model=bytes",
                "--Front.served_model_name=m").ready()  # fmt: skip
    try:
        with client(one.port) as api:
            assert [model.id for model in api.models.list().data] == ["m"]
            made = api.chat.completions.create(model="m", messages=[{"role": "user", "content": "日本"}], max_tokens=99)
            text = api.completions.create(model="m", prompt="abcdef", max_tokens=3)
            with pytest.raises(openai.BadRequestError, match="prompt"):
                api.completions.create(model="m", prompt="", max_tokens=3)
        assert made.choices[0].message.content == "user: 日本\nassistant:"
        assert (text.choices[0].text, text.choices[0].finish_reason) == ("abc", "length")
        assert "PrefillWorker" not in one.said()
        one.stop()
    finally:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
    gone(one)


def test_a_worker_is_killed(start):
    """One of two workers dies in the middle of a stream: it goes on with the other, nothing missing or doubled."""
    one = start("agg_router", *WITHOUT_MODEL, "--VllmWorker.delay=0.02", "--VllmWorker.ServiceArgs.workers=2").ready()
    text = "abcdefghij" * 12
    with client(one.port) as api:
        stream = api.completions.create(model="m", prompt=text, max_tokens=200, stream=True)
        told, killed = "", False
        for part in stream:
            told += part.choices[0].text
            if len(told) > 20 and not killed:
                killed = True
                busy = _busiest(one)
                os.kill(busy, signal.SIGKILL)
    # What is left of the prompt is what an echo starts over with: it was told more, and never less.
    assert told.startswith(text[:20])
    assert len(told) >= len(text)


def _busiest(one: Serve) -> int:
    """The worker process with a running request, by its metrics."""
    for pid, port in re.findall(
        r"\[VllmWorker:\d\]\s+ready.*process (\d+), health at http://127\.0\.0\.1:(\d+)", one.said()
    ):
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
            if re.search(r'dynamo_requests_running\{endpoint="generate".*\} 1', page.read().decode()):
                return int(pid)
    raise AssertionError(one.said())


CHAT = """
from dynamo.sdk import DYNAMO_IMAGE, depends, dynamo_endpoint, service
from pydantic import BaseModel, ConfigDict

class ChatCompletionRequest(BaseModel):
    model_config = ConfigDict(extra="allow")
    model: str
    messages: list[dict]

@service(dynamo={"enabled": True, "namespace": "your_namespace"}, image=DYNAMO_IMAGE)
class YourWorker:
    @dynamo_endpoint(name="my_chat_completions_endpoint")
    async def generate(self, request: ChatCompletionRequest):
        for word in request.messages[-1]["content"].split():
            yield {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": request.model,
                   "choices": [{"index": 0, "delta": {"content": word + "! "}, "finish_reason": None}]}

class RequestType(BaseModel):
    text: str

class ResponseType(BaseModel):
    text: str

@service(dynamo={"enabled": True, "namespace": "your_namespace"}, image=DYNAMO_IMAGE)
class TextProcessor:
    @dynamo_endpoint()
    async def generate(self, req: RequestType):
        for word in req.text.split():
            yield ResponseType(text=f"Processed: {word}. ")

@service(dynamo={"enabled": True, "namespace": "your_namespace"}, image=DYNAMO_IMAGE)
class Processor:
    worker = depends(TextProcessor)
    other = depends(YourWorker)

    @dynamo_endpoint(name="chat/completions")
    async def chat(self, request: ChatCompletionRequest):          # 1 takes OpenAI's request
        own = RequestType(text=request.messages[-1]["content"])    # 2 converts it
        async for answer in self.worker.generate(own):             # 3 forwards it
            chunk = {"choices": [{"index": 0, "delta": {"content": answer.text}}]}  # 4 converts the answer
            yield chunk                                            # 5 sends it on
"""


def test_own_worker_behind_llmctl(tmp_path: Path) -> None:
    """`dynamo http` alone, a worker of one's own, and `llmctl` between them, in the order that is worst."""
    (tmp_path / "mine.py").write_text(CHAT)
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    log = (tmp_path / "http.log").open("wb")
    command = [sys.executable, "-m", "dynamo_build", "http", "--port", "0"]
    front = subprocess.Popen(command, env=environment, stderr=log)
    one = None
    try:
        port = _port(tmp_path / "http.log", front)
        with client(port) as api, pytest.raises(openai.APIStatusError) as early:
            api.models.list()
        assert early.value.status_code == 503
        one = Serve(tmp_path, "mine:Processor").ready()
        llmctl = [sys.executable, "-m", "dynamo.http.openai.llmctl", "http"]
        where = "your_namespace.YourWorker.my_chat_completions_endpoint"
        subprocess.run([*llmctl, "add", "chat", "mine", where], env=one.environment, check=True)
        with client(port) as api:
            _until(lambda: [model.id for model in api.models.list()] == ["mine"])
            answer = api.chat.completions.create(model="mine", messages=[{"role": "user", "content": "hello there"}])
            assert answer.choices[0].message.content == "hello! there! "
            steps = "your_namespace.Processor.chat/completions"
            subprocess.run([*llmctl, "add", "chat", "steps", steps], env=one.environment, check=True)
            answer = api.chat.completions.create(model="steps", messages=[{"role": "user", "content": "a b"}])
            assert answer.choices[0].message.content == "Processed: a. Processed: b. "
            subprocess.run([*llmctl, "remove", "chat", "steps"], env=one.environment, check=True)
            worker = int(re.search(r"\[YourWorker\]\s+ready.*?process (\d+)", one.said())[1])
            os.kill(worker, signal.SIGSTOP)  # it says nothing any more, as if its machine was gone
            try:
                _until(lambda: list(api.models.list()) == [])
            finally:
                os.kill(worker, signal.SIGCONT)
            _until(lambda: [model.id for model in api.models.list()] == ["mine"])
        subprocess.run([*llmctl, "remove", "chat", "mine"], env=one.environment, check=True)
        with client(port) as api:
            _until(lambda: list(api.models.list()) == [])
    finally:
        front.terminate()
        assert front.wait(20) == 0
        log.close()
        if one is not None:
            one.stop()


def _port(log: Path, process: subprocess.Popen[bytes]) -> int:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        said = log.read_text()
        if "/v1" in said:
            return int(said.partition("127.0.0.1:")[2].partition("/")[0])
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def _until(condition) -> None:
    def holds() -> bool:
        try:
            return bool(condition())
        except openai.APIStatusError:
            return False

    wait_until(holds)


@pytest.mark.parametrize("graph", GRAPHS)
def test_build_and_render(project: Path, graph: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each graph becomes a bento where no engine is installed, and manifests with GPUs, a cache for models and time."""
    monkeypatch.setenv("DYNAMO_HOME", str(tmp_path / "home"))
    config = f"configs/{graph}.yaml"
    built = dynamo("build", f"graphs.{graph}:Frontend", "-f", config, "--python", "3.11", "-o", "json", folder=project)
    assert built.returncode == 0, built.stderr
    manifest = json.loads(built.stdout)["manifest"]
    names = [service["name"] for service in manifest["graph"]["services"]]
    assert names[-1] == "Frontend" and "VllmWorker" in names
    assert ("Router" in names, "PrefillWorker" in names) == ("router" in graph, "disagg" in graph)
    image = f"registry.example/team/llm@sha256:{'0' * 64}"
    monkeypatch.setenv("DYNAMO_IMAGE", f"registry.example/base@sha256:{'1' * 64}")
    rendered = dynamo("deploy", "--image", image, "--option", "model-cache-size=100Gi", folder=project)
    assert rendered.returncode == 0, rendered.stderr
    # What follows from the versions of the runtime and of this example is not what is looked at here.
    text = rendered.stdout.replace(manifest["version"], "VERSION")
    text = re.sub(r"\b[0-9a-f]{64}\b", "DIGEST", text)
    if graph in ("agg", "disagg_router"):
        golden = ROOT / "tests/golden/k8s" / f"llm_{graph}.yaml"
        if os.environ.get("GOLDEN") == "write":
            golden.write_text(text)
        assert text == golden.read_text()
    for workload in (item for item in yaml.safe_load_all(text) if item["kind"] == "Deployment"):
        [container] = workload["spec"]["template"]["spec"]["containers"]
        gpus = container["resources"]["limits"].get("nvidia.com/gpu")
        service = container["args"][-1] if container.get("args") else workload["metadata"]["name"]
        if "worker" in service.lower():
            assert gpus == "1"
            probe = container["startupProbe"]
            assert probe["periodSeconds"] * probe["failureThreshold"] >= 1800
            assert {"name": "HF_HOME", "value": "/models"} in container["env"]
        else:
            assert gpus is None


@pytest.mark.registry
def test_containerize(project: Path, tmp_path: Path, base_image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The image holds the graph, its pre- and postprocessing, and no engine: that is the base's to bring."""
    monkeypatch.setenv("DYNAMO_HOME", str(tmp_path / "home"))
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    built = dynamo("build", "graphs.agg:Frontend", "-f", "configs/agg.yaml", "--python", python, folder=project)
    assert built.returncode == 0, built.stderr
    done = dynamo("containerize", "--base", base_image, "--output-dir", str(tmp_path / "image"), folder=project)
    assert done.returncode == 0, done.stderr
    assert "tokenizers" in done.stderr
    assert "vllm" not in done.stderr.lower().replace("vllmworker", "")
