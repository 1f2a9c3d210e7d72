"""Stand-ins: enough of a module to import the code that uses it, and a clear word when it is asked for more."""

import subprocess
import sys
from textwrap import dedent

import pytest

SETUP = "from dynamo.sdk.describe.stand_in import install_finder\nfinder = install_finder(['torch', 'json'])\n"


def run(tmp_path, code):
    file = tmp_path / "code.py"
    file.write_text(SETUP + dedent(code))
    return subprocess.run([sys.executable, str(file)], capture_output=True, text=True, check=False)


def test_what_modules_do_with_a_library_at_import_works(tmp_path):
    """Attributes, submodules, subclassing, decorators, annotations, pydantic fields, with-statements."""
    done = run(
        tmp_path,
        """
        from typing import Annotated, Optional, Union
        import torch, torch.nn.functional as F
        from torch.nn import Module
        from pydantic import BaseModel
        class Net(Module, torch.nn.Other): size = 3
        @torch.no_grad()
        def f(x: torch.Tensor, y: Optional[torch.Tensor] = None) -> list[torch.Tensor] | None: return 3
        @torch.compile
        class Kept: pass
        class Request(BaseModel):
            tensor: torch.Tensor
            other: torch.dtype | None = None
            many: dict[str, torch.Tensor] = {}
        with torch.device("cuda"): pass
        assert f(1) == 3 and Kept.__name__ == "Kept" and Net().size == 3
        assert torch.Tensor.__module__ == "torch" and torch.cuda.Stream.__qualname__ == "cuda.Stream"
        assert Module.__module__ == "torch.nn"
        assert Request.model_json_schema()["properties"]["tensor"] == {"title": "Tensor"}
        assert finder.used - {"json"} == {"torch"}  # Python 3.13 imports json for itself
        print("done", torch.float16)
        """,
    )
    assert done.stdout == "done torch.float16\n", done.stderr


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("if torch.x: pass", "asks for the truth of `torch.x`"),
        ("if torch.x == 1: pass", "compares `torch.x`"),
        ("if torch.__version__ >= '2': pass", "compares `torch.__version__`"),
        ("for each in torch.x: pass", "goes through `torch.x`"),
        ("len(torch.x)", "goes through `torch.x`"),
        ("torch.x + 1", "calculates with `torch.x`"),
        ("int(torch.x)", "asks for the value of `torch.x`"),
        ("isinstance(1, torch.x)", "asks for an instance of `torch.x`"),
        ("from torch import *", "takes `*` from `torch`"),
    ],
)
def test_a_value_is_refused_by_name(tmp_path, code, what):
    """Rather than given at random."""
    done = run(tmp_path, "import torch\n" + code)
    assert what in done.stderr


def test_an_installed_module_is_stood_in_for_all_the_same(tmp_path):
    """So that what is described does not depend on the machine."""
    done = run(tmp_path, "import json\nprint(json.anything)")
    assert done.stdout == "json.anything\n", done.stderr
