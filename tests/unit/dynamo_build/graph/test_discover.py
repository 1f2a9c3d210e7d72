"""Finding a graph as its image will see it: the same with heavy packages installed and without, and nothing missing."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import pytest

from dynamo_build.errors import GraphError
from dynamo_build.events import Noted
from dynamo_build.graph.discover import Found, find, settle_graph
from dynamo_build.model.plan import BuildOptions, Lock, LockedPackage
from dynamo_build.packages import lockfile
from dynamo_build.packages.requirements import require
from support.command_line import dynamo

HEAVY = """
from dynamo.sdk import dynamo_endpoint, service
import torch
import transformers.models.llama as llama
from vllm import AsyncLLMEngine, SamplingParams
from vllm.engine.arg_utils import AsyncEngineArgs
from pydantic import BaseModel

try:
    import vllm
    WORKERS = 2
except ImportError:
    WORKERS = 1
try:
    import flash_attn
    NAMESPACE = "flash"
except ImportError:
    NAMESPACE = "plain"

class Request(BaseModel):
    text: str
    tensor: torch.Tensor | None = None

class Engine(AsyncLLMEngine):
    dtype: torch.dtype = torch.float16

@service(workers=WORKERS, dynamo={"namespace": NAMESPACE})
class Worker:
    @dynamo_endpoint()
    @torch.inference_mode()
    async def generate(self, request: Request):
        yield str(SamplingParams(n=1))
"""
#: Packages as a machine with them has them, here with contents that no image would have.
FAKE = {
    "vllm/__init__.py": "class AsyncLLMEngine: ...\nclass SamplingParams: ...\nraise ImportError('no driver')\n",
    "torch/__init__.py": "class Tensor: ...\nfloat16 = 1\n",
    "torch-2.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: torch\nVersion: 2.0\n",
    "transformers/__init__.py": "",
    "flash_attn.py": "",
    "strange_name.py": "",
    "odd-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n",
    "odd-1.0.dist-info/RECORD": "strange_name.py,,\n",
}


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(dedent(text))
    return folder


def locked(folder: Path, *names: str, **versions: str) -> Path:
    wanted, _, _ = require(folder, ["m.py"], BuildOptions())
    packages = [LockedPackage(name=name, version="1.0") for name in ("pydantic", "uvicorn", *names)]
    packages += [LockedPackage(name=name, version=version) for name, version in versions.items()]
    lock = Lock(python=wanted.python, packages={"linux/amd64": tuple(packages)})
    (folder / lockfile.NAME).write_bytes(lockfile.dump(lock, wanted))
    return folder


def service(imports: str) -> str:
    head = f"from dynamo.sdk import service\n{dedent(imports)}\n"
    return head + "@service\nclass A: ...\n"


def problems(folder: Path, options: BuildOptions | None = None) -> list[str]:
    with pytest.raises(GraphError) as caught:
        find("m:A", folder, options or BuildOptions())
    return [f"{problem.where}: {problem.message} | {problem.hint}" for problem in caught.value.problems]


def found(folder: Path, **options: tuple[str, ...]) -> Found:
    return find("m:A", folder, BuildOptions(**options))  # type: ignore[arg-type]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages that the child interpreter sees."""
    folder = written(tmp_path / "lib" / "site-packages", FAKE)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.syspath_prepend(str(folder))
    return folder


def heavy(folder: Path) -> Path:
    written(folder, {"m.py": HEAVY, "requirements.txt": "torch\nvllm\n"})
    return locked(folder, "torch", "vllm", "transformers")


def test_a_graph_is_the_same_with_its_packages_and_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that the lock has are stood in for, installed or not; the others are not there, installed or not."""
    folder = heavy(tmp_path / "p")
    notes: list[object] = []
    without = find("m:Worker", folder, BuildOptions(), notes.append).graph
    site = written(tmp_path / "lib" / "site-packages", FAKE)
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.syspath_prepend(str(site))
    assert find("m:Worker", folder, BuildOptions()).graph == without
    assert without.stand_ins == ("torch", "transformers", "vllm")
    assert (without.service("Worker").workers, without.service("Worker").namespace) == (2, "plain")
    assert Noted(text="stood in for torch, transformers, vllm while the graph was imported") in notes


def test_a_bento_is_the_same_with_its_packages_and_without(tmp_path: Path) -> None:
    """And it lists what was stood in for."""
    folder = heavy(tmp_path / "p")
    site = written(tmp_path / "lib" / "site-packages", FAKE)
    tags = set()
    for name, path in (("a", ""), ("b", str(site))):
        done = dynamo(
            "build", "m:Worker", "-o", "json", folder=folder, DYNAMO_HOME=str(tmp_path / name), PYTHONPATH=path
        )
        assert done.returncode == 0, done.stderr
        bento = json.loads(done.stdout)
        tags.add(bento["manifest"]["version"])
        assert bento["manifest"]["graph"]["stand_ins"] == ["torch", "transformers", "vllm"]
    assert len(tags) == 1


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("if torch.cuda.is_available(): pass", "truth"),
        ("for each in torch.devices: pass", "goes through"),
        ("if torch.__version__ > '2': pass", "compares"),
        ("workers = int(torch.cuda.device_count())", "value"),
    ],
)
def test_a_value_of_a_stand_in_is_refused_with_its_line(tmp_path: Path, code: str, told: str) -> None:
    """It would decide the graph, and nobody knows it here."""
    folder = written(tmp_path, {"m.py": service(f"import torch\n{code}"), "requirements.txt": "torch\n"})
    (told_problem,) = problems(locked(folder, "torch"))
    assert told_problem.startswith("m.py:3: ")
    assert told in told_problem


def test_an_undeclared_package_is_a_problem_installed_or_not(tmp_path: Path, site: Path) -> None:
    """With the line to add; what else is wrong is told with it."""
    code = "import transformers\nimport yaml\nfrom dynamo.sdk import service\n@service(resource={})\nclass A: ...\n"
    folder = written(tmp_path / "p", {"m.py": code})
    first, second, third = problems(folder)
    assert first.startswith("m.py:1: `transformers` is imported, but no requirement of the project provides it")
    assert "Add `transformers` to requirements.txt" in first
    assert 'runtime_only = ["transformers"]' in first
    assert "Add `pyyaml` to requirements.txt" in second
    assert "resources" in third


@pytest.mark.parametrize(
    "imports",
    [
        "import json, os.path, pydantic, pydantic_core",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import nowhere",
        "try:\n    import nowhere\nexcept ImportError:\n    nowhere = None",
        "try:\n    import nowhere\nexcept (ValueError, ModuleNotFoundError):\n    import json as nowhere",
        "import contextlib\nwith contextlib.suppress(ImportError):\n    import nowhere",
        "import msgspec, uvicorn",
        "if __name__ == '__main__':\n    import nowhere",
        "import own.part\nfrom own import part\nfrom beside import x",
    ],
)
def test_what_is_there_or_may_be_missing_is_none(tmp_path: Path, imports: str) -> None:
    """The standard library, the runtime's packages, types alone, guarded imports, the project's own code."""
    own = {"own/__init__.py": "from . import part\n", "own/part.py": "import json\n", "beside.py": "x = 1\n"}
    assert found(locked(written(tmp_path, {"m.py": service(imports), **own}))).warnings == ()


def test_an_import_in_a_function_is_a_warning(tmp_path: Path) -> None:
    """It fails when the function runs, if it does."""
    folder = written(tmp_path, {"m.py": service("def later():\n    import nowhere\n")})
    (warning,) = found(locked(folder)).warnings
    assert str(warning.where) == "m.py:3"


def test_a_problem_in_a_module_that_is_imported_late_is_found(tmp_path: Path) -> None:
    """The project's own files are followed wherever they are imported."""
    files = {"m.py": service("def later():\n    from inner import part\n"), "inner/part.py": "\nimport nowhere\n"}
    (told,) = problems(locked(written(tmp_path, files)))
    assert told.startswith("inner/part.py:2: `nowhere`")


def test_a_misspelt_name_gets_the_nearest(tmp_path: Path) -> None:
    """Of the locked packages, the standard library and the project."""
    folder = written(
        tmp_path, {"m.py": service("import transfomers\nimport jsn"), "requirements.txt": "transformers\n"}
    )
    first, second = problems(locked(folder, "transformers"))
    assert "Did you mean `json`?" in first + second
    assert "Did you mean `transformers`?" in first + second


def test_runtime_only_modules_are_stood_in_for(tmp_path: Path) -> None:
    """They are in the base alone."""
    folder = locked(written(tmp_path, {"m.py": service("import tensorrt_llm.runtime")}))
    assert found(folder, runtime_only=("tensorrt_llm",)).graph.stand_ins == ("tensorrt_llm",)


def test_the_files_of_an_installed_package_name_its_modules(tmp_path: Path, site: Path) -> None:
    """When it is the locked version; another one says nothing."""
    folder = written(tmp_path / "p", {"m.py": service("import strange_name"), "requirements.txt": "odd\n"})
    assert found(locked(folder, "odd")).graph.stand_ins == ("strange_name",)
    assert "strange_name" in problems(locked(folder, odd="2.0"))[0]


def test_without_a_lock_unknown_names_wait_for_it(tmp_path: Path) -> None:
    """They may come with what a package needs; once it is there they are settled."""
    folder = written(tmp_path, {"m.py": service("import starlette"), "requirements.txt": "fastapi\n"})
    first = found(folder)
    assert not first.settled
    lock = Lock(python="3.11", packages={"linux/amd64": (LockedPackage(name="starlette", version="1.0"),)})
    settled = find("m:A", folder, BuildOptions(), lock=lock, before=first)
    assert settled.settled
    assert settled.graph == first.graph
    with pytest.raises(GraphError, match="problem"):
        find("m:A", folder, BuildOptions(), lock=Lock(python="3.11"), before=first)


def test_a_guarded_import_is_settled_by_the_lock(tmp_path: Path) -> None:
    """The graph is found again when the lock decides it otherwise than its absence."""
    code = "try:\n    import starlette\n    N = 2\nexcept ImportError:\n    N = 1\n"
    text = f"from dynamo.sdk import service\n{code}\n@service(workers=N)\nclass A: ...\n"
    folder = written(tmp_path, {"m.py": text, "requirements.txt": "fastapi\n"})
    first = found(folder)
    assert first.graph.service("A").workers == 1
    lock = Lock(python="3.11", packages={"linux/amd64": (LockedPackage(name="starlette", version="1.0"),)})
    assert find("m:A", folder, BuildOptions(), lock=lock, before=first).graph.service("A").workers == 2


def test_the_library_is_that_of_the_images_python(tmp_path: Path) -> None:
    """A module that a later Python dropped is a problem for it."""
    folder = written(tmp_path, {"m.py": service("import telnetlib"), ".python-version": "3.13\n"})
    (told,) = problems(locked(folder))
    assert told.startswith("m.py:2: `telnetlib` is not in the standard library of Python 3.13")


def test_a_refusal_that_the_code_catches_is_told_too(tmp_path: Path) -> None:
    """The graph would be another one where the module is real."""
    code = "import torch\ntry:\n    N = int(torch.cuda.device_count())\nexcept Exception:\n    N = 1\n"
    folder = written(tmp_path, {"m.py": service(code), "requirements.txt": "torch\n"})
    (told,) = problems(locked(folder, "torch"))
    assert told.startswith("m.py:4: the code asks for the value of `torch.cuda.device_count()`")


@pytest.mark.parametrize("ask", ["import importlib.metadata as m", "import pydantic\nimport importlib.metadata as m"])
def test_versions_of_what_is_installed_here_are_not_told(tmp_path: Path, site: Path, ask: str) -> None:
    """Of a package that the lock has it is a problem to ask, another one is not there; pydantic is."""
    other = (
        f"{ask}\nm.version('pydantic')\ntry:\n    m.version('odd')\n    X\nexcept m.PackageNotFoundError:\n    pass\n"
    )
    folder = written(tmp_path / "p", {"m.py": service(other), "requirements.txt": "torch\n"})
    assert found(locked(folder, "torch")).graph.entry == "A"
    (folder / "m.py").write_text(service(f"{ask}\nm.version('torch')"))
    assert "asks for the version of `torch`" in problems(folder)[0]


def test_an_address_field_needs_its_package_asked_for_and_not_installed(tmp_path: Path) -> None:
    """pydantic asks for its version before it uses it."""
    text = """
    from pydantic import BaseModel, EmailStr
    from dynamo.sdk import dynamo_endpoint, service
    class Request(BaseModel):
        address: EmailStr
    @service(dynamo={"namespace": "x"})
    class A:
        @dynamo_endpoint()
        async def generate(self, request: Request):
            yield "x"
    """
    folder = written(tmp_path, {"m.py": text, "requirements.txt": "pydantic[email]\nemail-validator\n"})
    (endpoint,) = found(locked(folder, "email-validator")).graph.service("A").endpoints
    assert endpoint.request_schema["properties"]["address"]["format"] == "email"


def test_a_module_deeper_in_the_project_counts_where_code_extends_the_path(tmp_path: Path) -> None:
    """Otherwise a package of that name is meant."""
    files = {"m.py": service("import sys\nsys.path.append('src')\nimport inner"), "src/inner.py": "import json\n"}
    with_path = locked(written(tmp_path / "a", files))
    (with_path / "m.py").write_text((with_path / "m.py").read_text().replace("'src'", "__file__[:-4] + 'src'"))
    assert found(with_path).reached.files == ("m.py", "src/inner.py")
    without = written(tmp_path / "b", {"m.py": service("import inner"), "src/inner.py": ""})
    assert problems(locked(without))[0].startswith("m.py:2: `inner` is imported")


def test_a_module_of_a_source_folder_is_named_with_what_to_do(tmp_path: Path) -> None:
    """No package of that name is asked for unseen."""
    files = {"src/app/__init__.py": "", "src/app/other.py": "", "m.py": service("from app.other import x")}
    (told,) = problems(locked(written(tmp_path, files)))
    assert "`src` has a module of that name: import it as `src.app`, or run the command in `src`." in told
    with pytest.raises(GraphError) as caught:
        find("app.graph:A", tmp_path, BuildOptions())
    assert caught.value.problems[0].hint == "`src` has one: run the command there."


@pytest.mark.parametrize(("package", "drafts"), [("starlette", [1, 2]), ("h11", [1])])
def test_a_graph_and_its_lock_settle_in_one_step(tmp_path: Path, package: str, drafts: list[int]) -> None:
    """A draft is made again only for a graph that the lock changed; packages are locked once."""
    code = "try:\n    import starlette\n    N = 2\nexcept ImportError:\n    N = 1\n"
    text = f"{code}from dynamo.sdk import service\n@service(workers=N)\nclass A: ...\n"
    folder = written(tmp_path, {"m.py": text, "requirements.txt": "fastapi\n"})
    drafted: list[int] = []
    asked: list[int] = []

    def draft(one: Found) -> int:
        drafted.append(one.graph.services[0].workers)
        return drafted[-1]

    def lock(one: int) -> Lock:
        asked.append(one)
        return Lock(python="3.11", packages={"linux/amd64": (LockedPackage(name=package, version="1.0"),)})

    settled, last, _ = settle_graph("m:A", folder, BuildOptions(), draft, lock)
    assert (drafted, asked) == (drafts, [1])
    assert settled.settled and settled.graph.services[0].workers == last == drafts[-1]
