"""The commands of the documents, typed as they stand there: each in a network of its own, where the ports are free."""

from __future__ import annotations

import json
import re
import sys

import pytest

from support.seeds import FOLDER, blocks
from support.serving import asked, gone, typed

pytestmark = [pytest.mark.nats, pytest.mark.root, pytest.mark.usefixtures("as_root")]

MULTI_STEP = FOLDER.parent / "multi_step" / "multi_step.py"
IMPORTS = "from dynamo.sdk import service\nfrom dynamo.sdk.lib.config import ServiceConfig\n"
VALUES = """
from dynamo.sdk import api

async def values(self):
    import os
    found = {name: getattr(self, name) for name in ("model_name", "temperature", "max_tokens", "cache_size", "use_kv_cache")}
    arguments = json.loads(os.environ["DYNAMO_SERVICE_CONFIG"])["LLMService"]["ServiceArgs"]
    return {**found, **arguments, "address": list(LLMService.dynamo_address())}

import json
LLMService.inner.values = api(values)
"""


def test_hello_world(serve):
    """The first document: the command, curl's line, and the two lines that it answers."""
    lines = [line for line in blocks()["0-03.sh"].splitlines() if line and not line.startswith("#")]
    command, curl, *answer = lines
    one = typed(serve, command, {"hello_world.py": blocks()["0-02.py"]})
    assert asked(one, curl).splitlines() == answer
    assert one.stop() == 0
    gone(one)


def test_multi_step(serve):
    """curl's lines of the third document, whose frontend listens on port 3000: as events, since it asks for them."""
    one = typed(serve, "dynamo serve multi_step:Frontend --port 3000", {"multi_step.py": MULTI_STEP.read_text()})
    answer = asked(one, blocks()["3-02.sh"])
    outputs = re.findall(r"data: (.*)\n\n", answer)
    assert [json.loads(output) for output in outputs] == [
        {"worker_output": f"{word}_back", "request_id": "request id str"} for word in ("test", "prompt", "str")
    ]
    assert one.stop() == 0


def test_service_with_a_file(serve):
    """`-f config.yaml`: the file's four workers; without a GPU here, one warning that it is not held to."""
    files = {"service.py": IMPORTS + blocks()["2-08.py"], "config.yaml": blocks()["2-09.yaml"]}
    one = typed(serve, blocks()["2-10.sh"].strip(), files)
    assert len(one.workers()) == 4
    assert one.stop() == 0


def test_the_effective_values(serve):
    """Every value of the list that the document closes with, as the running service sees it."""
    files = {"service.py": IMPORTS + blocks()["2-16.py"] + VALUES, "prod_config.yaml": blocks()["2-17.yaml"]}
    one = typed(serve, blocks()["2-18.sh"].strip(), files)
    values = json.loads(asked(one, "curl -s -X POST localhost:8000/values"))
    assert values == {
        "address": ["prod", "LLMService"],
        "dynamo": {"namespace": "prod"},
        "resources": {"gpu": 4, "memory": "64Gi"},
        "workers": 8,
        "model_name": "llama-3-70b-instruct",
        "temperature": 0.9,
        "max_tokens": 2048,
        "cache_size": 10000,
        "use_kv_cache": True,
    }
    assert len(one.workers()) == 8
    assert one.stop() == 0
    gone(one)


def test_text_processor(serve):
    """The fifth document's worker and its client, both as printed."""
    files = {"text_processor.py": blocks()["4-04.py"], "client.py": blocks()["4-05.py"]}
    one = typed(serve, "dynamo serve text_processor:TextProcessor", files)
    assert asked(one, f"{sys.executable} client.py") == "Response: Processed: Hello, Dynamo!\n"
    assert one.stop() == 0
