"""Old paths of vLLM's names, held to a small package that is laid out as today's."""

from __future__ import annotations

import json
import subprocess
import sys

FILES = {
    "vllm/__init__.py": "",
    "vllm/utils/__init__.py": "def random_uuid(): return 'own'",
    "vllm/utils/argparse_utils.py": "print('loaded', end='')\nclass FlexibleArgumentParser: pass",
    "vllm/entrypoints/__init__.py": "",
    "vllm/entrypoints/openai/__init__.py": "",
    "vllm/entrypoints/openai/chat_completion/__init__.py": "",
    "vllm/entrypoints/openai/chat_completion/protocol.py": "class ChatCompletionRequest: pass",
}
CODE = """
import json
from dynamo.engines import moved
moved.install_finder(); moved.install_finder()
import vllm.utils
seen = {"own": vllm.utils.random_uuid()}
from vllm.utils import FlexibleArgumentParser
from vllm.entrypoints.openai.protocol import ChatCompletionRequest
seen["found"] = [FlexibleArgumentParser.__module__, ChatCompletionRequest.__module__]
try:
    from vllm.entrypoints.openai.protocol import Absent
except ImportError as error:
    seen["absent"] = "Absent" in str(error)
print(json.dumps(seen))
"""


def run(folder, code):
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_names_are_found_where_they_are_now(tmp_path):
    """What moved is found, what stayed is left alone, what is gone is an ordinary ImportError."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    seen = json.loads(run(tmp_path, CODE).removeprefix("loaded"))
    assert seen["own"] == "own"
    assert seen["found"] == ["vllm.utils.argparse_utils", "vllm.entrypoints.openai.chat_completion.protocol"]
    assert seen["absent"]


def test_lazy(tmp_path):
    """Nothing of vLLM is imported before somebody asks for it, and without it the error is Python's own."""
    code = (
        "import sys\nfrom dynamo.engines import moved\nmoved.install_finder()\n"
        "assert not any(name.startswith('vllm') for name in sys.modules)\n"
        "try:\n    from vllm.entrypoints.openai.protocol import X\n"
        "except ModuleNotFoundError as error:\n    print(error.name)"
    )
    assert run(tmp_path, code) == "vllm\n"
