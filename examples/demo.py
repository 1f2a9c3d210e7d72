"""`make demo`: examples/hello_world from source to bento, image, manifests and a served answer, step by step.

Everything is made below `.demo/`. The image goes to a real registry when `REGISTRY` names one (or `make stack-up` runs
one), else into an OCI layout folder. Only the standard library is used here: each step is a command that a user types.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "examples" / "hello_world"
DEMO = ROOT / ".demo"
TARGET = "hello_world:Frontend"


def main() -> None:
    """Run all steps and print what they made."""
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir()
    environment = {**os.environ, "DYNAMO_HOME": str(DEMO / "home"), "PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}"}
    environment.pop("DYNAMO_IMAGE", None)

    step("A small base image from the running Python (not for production)")
    run([sys.executable, str(ROOT / "container" / "make_base.py"), "--output", str(DEMO / "base")], ROOT, environment)
    base = f"oci:{DEMO / 'base'}"

    step(f"The bento: dynamo build {TARGET}")
    tag = run(["dynamo", "build", TARGET, "-o", "name"], PROJECT, environment)

    registry = registry_of_the_stack()
    if registry:
        step(f"The image, without any daemon, pushed to the registry at {registry}")
        destination = ["--push", "--registry", registry]
    else:
        step("The image, without any daemon, as an OCI layout folder (no registry runs; `make stack-up` starts one)")
        destination = ["--output-dir", str(DEMO / "image")]
    image = json.loads(
        run(["dynamo", "containerize", tag, "--base", base, *destination, "-o", "json"], PROJECT, environment)
    )
    image = image[0] if isinstance(image, list) else image

    step("The Kubernetes manifests")
    reference = image["reference"] if registry else f"registry.example/frontend@{image['digest']}"
    run(
        ["dynamo", "deploy", tag, "--target", "k8s", "--image", reference, "--output-dir", str(DEMO / "manifests")],
        PROJECT,
        environment,
    )

    step(f"The graph on this machine: dynamo serve {TARGET}")
    answer, seconds = serve_and_ask(environment)

    print()
    print(f"bento     {tag}")
    print(f"image     {image['reference']}")
    print(f"digest    {image['digest']}")
    for file in sorted((DEMO / "manifests").glob("*.yaml")):
        print(f"manifest  {file.relative_to(ROOT)}")
    print(f"answer    {answer.strip()}   ({seconds:.2f} s from start)")


def step(text: str) -> None:
    """Say what comes next."""
    print(f"\n== {text}", flush=True)


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Run one command, let it talk on stderr, and give its result."""
    print(f"$ {' '.join(command)}", flush=True)
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"the step failed with exit code {done.returncode}")
    return done.stdout.strip()


def registry_of_the_stack() -> str:
    """HOST:PORT of a registry that answers, or ""."""
    address = os.environ.get("REGISTRY", "")
    if not address:
        listing = subprocess.run(["bash", str(ROOT / "tests/support/stack.sh"), "env"], capture_output=True, text=True)
        for word in listing.stdout.split():
            if word.startswith("REGISTRY="):
                address = word.partition("=")[2].strip("'\"")
    try:
        urllib.request.urlopen(f"http://{address}/v2/", timeout=2).close()
    except (OSError, ValueError):
        return ""
    return address


def serve_and_ask(environment: dict[str, str]) -> tuple[str, float]:
    """Start the graph on a free port, ask it once, and stop it as Ctrl-C would."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    begun = time.monotonic()
    server = subprocess.Popen(["dynamo", "serve", TARGET, "--port", str(port)], cwd=PROJECT, env=environment)
    try:
        answer = ask(f"http://127.0.0.1:{port}/generate", server)
        return answer, time.monotonic() - begun
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=30)


def ask(url: str, server: subprocess.Popen[bytes]) -> str:
    """POST until the graph answers, for 30 seconds."""
    deadline = time.monotonic() + 30
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, data=b'{"text": "a"}', timeout=5) as response:
                return response.read().decode()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.02)
    sys.exit("the graph did not answer")


if __name__ == "__main__":
    main()
