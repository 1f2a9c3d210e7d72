"""vLLM for real, on the processor: the adapter, old import paths, prefill and decode over NIXL, and the example graph."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from support import vllm_environment

pytestmark = pytest.mark.timeout(1200)
PROMPT = [10 + number % 250 for number in range(512)]


def said(python: str, *arguments: str) -> dict[str, object]:
    """The last line of a program, as JSON."""
    done = subprocess.run(
        [python, "-m", *arguments], env=vllm_environment.environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_old_paths(python: str, model: Path) -> None:
    """Code of 2025 imports what it imported, and `parse_vllm_args` of the documents parses."""
    seen = said(python, "support.vllm_engine", "paths", str(model))
    assert (seen["router"], seen["block_size"], seen["eager"]) == ("kv", 32, True)
    assert seen["chat"] == "hi"


def test_engine(python: str, model: Path) -> None:
    """Tokens, cached prompts, events of exactly the blocks that routers name, numbers, refusals, clients that leave."""
    seen = said(python, "support.vllm_engine", "engine", str(model))
    print(json.dumps(seen))
    assert seen["same"] and seen["made"] > 0
    assert seen["cached"] == 192
    assert seen["blocks_of_prompt"] == 6
    assert seen["slots"] and seen["blocks"] and seen["hit_rate"] > 0
    assert seen["running_after_left"] == 0
    assert all(count >= 3 for count in seen["logprobs"])
    assert (seen["too_long"], seen["wrong_option"]) == ("refused", "refused")


class Side:
    """One of the two engines."""

    def __init__(self, python: str, part: str, model: Path) -> None:
        self.process = subprocess.Popen(
            [python, "-m", "campaign.vllm_disaggregated", part, str(model)],
            env=vllm_environment.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip

    def heard(self) -> dict[str, object]:
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith(">"):
                return json.loads(line[1:])
        raise AssertionError(f"ended with {self.process.wait()}")

    def ask(self, **asked: object) -> dict[str, object]:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return self.heard()


def test_disaggregated(python: str, model: Path) -> None:
    """Blocks go from the prefill engine to the decode engine over NIXL; a hand-off that is stale is computed again."""
    sides = []
    try:
        for part in ("prefill", "decode"):
            sides.append(Side(python, part, model))
            assert sides[-1].heard() == {"ready": part}
        prefill, decode = sides
        handed = prefill.ask(id="p1", tokens=PROMPT)
        assert handed["handoff"]["do_remote_prefill"] is True
        first = decode.ask(id="d1", tokens=PROMPT, handoff=handed["handoff"])
        other = [token + 1 for token in PROMPT]
        second = decode.ask(id="d2", tokens=other, handoff=prefill.ask(id="p2", tokens=other)["handoff"])
        print(json.dumps({key: [first[key], second[key]] for key in ("first", "transferred")}))
        assert first["transferred"] >= 511 and second["transferred"] >= 1022
        assert first["tokens"][0] == handed["tokens"][0]
        alone = prefill.ask(id="p3", tokens=PROMPT)
        assert alone["tokens"][0] == first["tokens"][0]
        stale = {**handed["handoff"], "remote_port": 1, "remote_engine_id": "gone"}
        third = [token + 2 for token in PROMPT]
        lost = decode.ask(id="d3", tokens=third, handoff=stale)
        assert lost["tokens"] == prefill.ask(id="p4", tokens=third, max_tokens=8)["tokens"] + lost["tokens"][1:]
    finally:
        for side in sides:
            os.killpg(side.process.pid, signal.SIGKILL)
            side.process.wait()
            side.process.stdin.close()
            side.process.stdout.close()
