"""Discovery: graphs from folders, every problem with its place and what to do, whatever the code does at import."""

import os
from itertools import pairwise
from pathlib import Path
from textwrap import dedent

import pytest

from dynamo.sdk.graph import Problem, ServiceGraph
from dynamo_build.errors import GraphError, UsageError
from dynamo_build.events import Output, Warned
from dynamo_build.graph.child import explore

ROOT = Path(__file__).parents[4]
GRAPHS = ROOT / "tests" / "graphs"
HEAD = "from dynamo.sdk import *\n\n"


def project(tmp_path: Path, **modules: str) -> Path:
    for name, text in modules.items():
        (tmp_path / f"{name}.py").write_text(HEAD + dedent(text))
    return tmp_path


def problems(folder: Path, target: str = "m:A", **options) -> tuple[Problem, ...]:
    with pytest.raises(GraphError) as caught:
        explore(target, folder, **options).graph
    for problem in caught.value.problems:
        assert problem.message[:1] in "`" or problem.message[0].islower(), problem
        assert not problem.message.endswith("."), problem
        assert problem.hint.endswith((".", "?")), problem
        assert "Traceback" not in problem.message
    return caught.value.problems


def only(folder: Path, target: str = "m:A", **options) -> Problem:
    found = problems(folder, target, **options)
    assert len(found) == 1, found
    return found[0]


def edges(graph: ServiceGraph) -> set[tuple[str, str]]:
    return {(caller.name, callee.name) for caller, callee in graph.edges()}


def test_hello_world_has_three_services_dependencies_first():
    """The example is a chain, told from its end to its entry."""
    graph = explore("hello_world:Frontend", ROOT / "examples" / "hello_world").graph
    assert graph.names == ("Backend", "Middle", "Frontend")
    assert graph.entry == "Frontend"
    assert edges(graph) == {("Frontend", "Middle"), ("Middle", "Backend")}
    backend = graph.service("Backend")
    assert (backend.namespace, backend.image, backend.module) == ("inference", "", "hello_world")
    assert backend.endpoints[0].streaming
    assert backend.endpoints[0].request_schema["properties"]["text"]["type"] == "string"
    assert backend.position.file == "hello_world.py"


@pytest.mark.parametrize(
    "target", ["hello_world:Frontend", "hello_world", "hello_world.py:Frontend", "hello_world.py", ""]
)
def test_a_target_can_be_written_in_several_ways(target):
    """Module, file, module with one entry, or nothing where one module has services: all name the same graph."""
    assert explore(target, ROOT / "examples" / "hello_world").graph.target == "hello_world:Frontend"


def test_a_target_can_walk_dependencies():
    """`module:Service.attribute` is the service behind that dependency."""
    graph = explore("hello_world:Frontend.middle.backend", ROOT / "examples" / "hello_world").graph
    assert graph.names == ("Backend",)


def test_the_printed_hello_world_is_a_graph():
    """A service without `dynamo` is plain HTTP and may depend on others; extras such as `traffic` are fine."""
    graph = explore("hello_world:Frontend", GRAPHS).graph
    frontend, backend = graph.service("Frontend"), graph.service("Backend")
    assert (frontend.dynamo, frontend.http, frontend.traffic) == (False, True, {"timeout": 60})
    assert (backend.workers, backend.resources.cpu) == (3, "2")


@pytest.mark.parametrize("folder", ["ai_dynamo_hello_world/hello_world", "multi_step/multi_step"])
def test_graphs_of_known_shape_are_found(folder):
    """Graphs with the shape of the ones in use."""
    graph = explore(f"{Path(folder).name}:Frontend", (GRAPHS / folder).parent).graph
    assert len(graph.services) == 3


@pytest.mark.parametrize(
    ("name", "chain"),
    [
        ("agg", ["Frontend", "Processor", "VllmWorker"]),
        ("agg_router", ["Frontend", "Processor", "Router", "VllmWorker"]),
        ("disagg", ["Frontend", "Processor", "VllmWorker", "PrefillWorker"]),
        ("disagg_router", ["Frontend", "Processor", "Router", "VllmWorker", "PrefillWorker"]),
    ],
)
def test_links_decide_which_services_an_llm_graph_has(name, chain):
    """A chain keeps only its linked edges; libraries that are not installed are stood in for."""
    graph = explore(f"graphs.{name}:Frontend", GRAPHS / "llm", stand_ins=["vllm", "fastapi", "transformers"]).graph
    assert sorted(graph.names) == sorted(chain)
    assert edges(graph) == set(pairwise(chain))
    assert graph.stand_ins == ("fastapi", "transformers", "vllm")
    endpoint = graph.service("Processor").endpoints[0]
    assert endpoint.name == "chat/completions"
    assert endpoint.request_type == "vllm.entrypoints.openai.protocol.ChatCompletionRequest"


def test_discovery_says_the_same_twice():
    """Nothing of the process, its folder or its hash seed is in a graph."""
    folder = GRAPHS / "llm"
    first, second = (
        explore("graphs.agg:Frontend", folder, stand_ins=["vllm", "fastapi", "transformers"]) for _ in "ab"
    )
    assert first == second
    assert "components/worker.py" in first.modules
    assert str(ROOT) not in repr(first)


def test_nothing_is_written_into_the_project(tmp_path):
    """Importing the code leaves no __pycache__ behind."""
    explore(
        "m:A", project(tmp_path, m="@service(dynamo={})\nclass A:\n    @api\n    async def a(self): return 1")
    ).graph
    assert os.listdir(tmp_path) == ["m.py"]


SERVICE = "@service(dynamo={})\nclass A:\n    @dynamo_endpoint\n    async def a(self, request): return 1\n"


@pytest.mark.parametrize(
    ("code", "line", "message", "hint"),
    [
        ("import pydantyc", 3, "no module `pydantyc`", "pydantic"),
        ("import nowhere_to_be_found_x", 3, "no module", "requirements"),
        ("import os.paht", 3, "", ""),
        ("from dynamo.sdk import servise", 3, "no `servise`", "service"),
        ("def broken(:\n  pass", 3, "syntax error", "Correct"),
        ("import sys\nsys.exit(3)", 4, "status 3", "__main__"),
        ("1/0", 3, "ZeroDivisionError", "importable"),
        ("raise KeyboardInterrupt", 3, "KeyboardInterrupt", "importable"),
        ("def f(): f()\nf()", 3, "recurses", "calls itself"),
        ("open('/nonexistent/file')", 3, "FileNotFoundError", "importable"),
    ],
)
def test_what_an_import_raises_is_one_problem_at_the_authors_line(tmp_path, code, line, message, hint):
    """The author's own line, what was seen and what to do; no traceback."""
    found = only(project(tmp_path, m=code))
    assert (found.where.file, found.where.line) == ("m.py", line)
    assert message in found.message
    assert hint in found.hint


def test_an_endless_loop_is_stopped_where_it_is(tmp_path):
    """The time limit names the line, and nothing is left running."""
    found = only(project(tmp_path, m="while True:\n    pass"), timeout=1.5)
    assert found.where.line in (3, 4)
    assert "1.5 seconds" in found.message


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_limit_is_a_time(tmp_path, timeout):
    """Anything else is the caller's mistake."""
    with pytest.raises(UsageError, match="invalid timeout"):
        explore("m:A", project(tmp_path, m=""), timeout=timeout).graph


def test_code_that_holds_off_the_alarm_is_killed(tmp_path):
    """A handler of the author's own does not keep discovery waiting."""
    folder = project(tmp_path, m="import signal, time\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\ntime.sleep(60)")
    assert "did not finish within 0.3 seconds" in only(folder, timeout=0.3).message


@pytest.mark.parametrize(
    ("code", "message"),
    [("import os\nos._exit(4)", "status 4"), ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV")],
)
def test_a_child_that_dies_without_a_word_is_told(tmp_path, code, message):
    """An interpreter that is ended or crashes has no line, but a reason."""
    assert message in only(project(tmp_path, m=code)).message


def test_prints_do_not_disturb_the_report(tmp_path):
    """What the code prints goes to the listener as output; on failure its last lines are among the hints."""
    heard = []
    folder = project(tmp_path, m="import os\nprint('{\"graph\": 1}')\nos.write(1, b'raw')\n" + SERVICE)
    assert explore("m:A", folder, on=heard.append).graph.names == ("A",)
    assert any(isinstance(event, Output) and "raw" in event.line for event in heard)
    with pytest.raises(GraphError) as caught:
        explore("m:A", project(tmp_path, m="print('look here')\n1/0")).graph
    assert "look here" in caught.value.hints[-1]


def test_threads_left_running_do_not_hold_discovery_up(tmp_path):
    """The child ends when it has reported."""
    code = "import threading, time\nthreading.Thread(target=time.sleep, args=(300,)).start()\n" + SERVICE
    explore("m:A", project(tmp_path, m=code)).graph


@pytest.mark.parametrize(
    ("target", "message", "hint"),
    [
        ("m.n:A", "no module `m.n`", ""),
        ("missing_entirely:A", "no module", "folder"),
        ("m:B", "no `B` in `m`", ""),
        ("m:plain", "without @service", ""),
        ("m:number", "not a service", ""),
        ("m:A.other", "no dependency `other`", ""),
        ("m", "several services", "m:"),
        ("x.py:A", "no file `x.py`", ""),
        ("../m.py:A", "outside", "below"),
        ("json:A", "not in the project", "packed"),
        ("a-b:A", "not a module's name", "module:Service"),
    ],
)
def test_a_target_that_names_no_service_is_told(tmp_path, target, message, hint):
    """Each with the nearest name, or with what a target looks like."""
    code = SERVICE + "class plain: pass\nnumber = 1\n@service(dynamo={})\nclass Other:\n    pass\n"
    found = only(project(tmp_path, m=code), target)
    assert message in found.message
    assert hint in found.hint


@pytest.mark.parametrize("target", ["m:", ":", "m:A:B", "m: A", "m:1"])
def test_a_target_of_no_possible_form_is_a_usage_error(tmp_path, target):
    """It is refused before any code runs."""
    with pytest.raises(UsageError):
        explore(target, tmp_path).graph


def test_a_folder_that_is_not_there_is_a_usage_error(tmp_path):
    """So is the project."""
    with pytest.raises(UsageError, match="not a folder"):
        explore("m:A", tmp_path / "nowhere").graph


def test_all_problems_of_a_graph_are_told_at_once(tmp_path):
    """Unknown keys, bad quantities, a dynamo endpoint on an HTTP service, a Protocol: one discovery."""
    code = """
    from typing import Protocol
    @service(dynamo={"enabled": True, "namspace": "x"},
             resource={"gpu": 1}, resources={"cpu": "many", "gpu": 1.5}, workers=0)
    class Worker(Protocol):
        @dynamo_endpoint()
        async def run(self, request): yield 1

    @service(traffic={"timeout": 3})
    class A:
        worker = depends(Worker)
        @dynamo_endpoint
        async def a(self, request): yield 1
    """
    found = problems(project(tmp_path, m=code))
    text = [f"{problem.message} | {problem.hint}" for problem in found]
    for part in (
        "unknown key `resource` in @service of `Worker` | Did you mean `resources`?",
        "unknown key `dynamo.namspace` in @service of `Worker` | Did you mean `namespace`?",
        "`resources.cpu` is 'many', not a quantity",
        "`resources.gpu` is 1.5",
        "`workers` is 0",
        "typing.Protocol",
        "plain HTTP service",
    ):
        assert any(part in line for line in text), (part, text)
    assert all(problem.where.line for problem in found)


def test_a_circle_of_modules_is_told(tmp_path):
    """Two modules that depend on each other."""
    folder = project(
        tmp_path,
        A="import B\n@service(dynamo={})\nclass A:\n    b = depends(B)\n"
        "    @dynamo_endpoint\n    async def a(self, r): return 1",
        B="import A\n@service(dynamo={})\nclass B:\n    a = depends(A)\n"
        "    @dynamo_endpoint\n    async def b(self, r): return 1",
    )
    found = only(folder, "A:A")
    assert "circle: A → B → A" in found.message
    assert found.where.file == "B.py"


def test_a_circle_of_imports_is_told(tmp_path):
    """`from b import B` and `from a import A`."""
    folder = project(tmp_path, a="from b import B\n" + SERVICE, b="from a import A\nB = 1")
    assert "import each other" in only(folder, "a:A").message


def test_two_services_of_one_name_are_told(tmp_path):
    """With the place of the other one."""
    folder = project(
        tmp_path,
        m="import n\n@service(dynamo={})\nclass W:\n    @dynamo_endpoint\n    async def a(self, r): return 1\n"
        "@service(dynamo={})\nclass A:\n    one = depends(W)\n    two = depends(n.W)\n"
        "    @api\n    async def a(self): return 1",
        n="@service(dynamo={})\nclass W:\n    @dynamo_endpoint\n    async def a(self, r): return 1",
    )
    assert "two services are named `W`: the other is at m.py:4" in only(folder).message


ABSTRACT = """
class Worker(AbstractService):
    @abstract_endpoint
    async def run(self, request): ...

@service(dynamo={})
class A:
    worker = depends(Worker)
    @api
    async def a(self): return 1
"""


def test_an_abstract_dependency_must_be_linked(tmp_path):
    """Else nothing would answer."""
    found = only(project(tmp_path, m=ABSTRACT))
    assert "abstract `Worker`" in found.message
    assert "A.link" in found.hint


def test_a_link_fills_an_abstract_dependency(tmp_path):
    """The service that inherits the interface takes its place."""
    code = (
        ABSTRACT + "@service(dynamo={})\nclass Real(Worker):\n    @dynamo_endpoint\n"
        "    async def run(self, request): return 1\nA.link(Real)"
    )
    graph = explore("m:A", project(tmp_path, m=code)).graph
    assert edges(graph) == {("A", "Real")}
    assert graph.service("A").edges[0].linked


def test_an_interface_must_be_implemented_by_endpoints(tmp_path):
    """An undecorated, a missing and a non-callable implementation are three problems."""
    code = """
    class Worker(AbstractService):
        @abstract_endpoint
        async def one(self, request): ...
        @abstract_endpoint
        async def two(self, request): ...
        @abstract_endpoint
        async def three(self, request): ...

    @service(dynamo={})
    class A(Worker):
        async def one(self, request): return 1
        three = 3
        @api
        async def a(self): return 1
    """
    messages = [problem.message for problem in problems(project(tmp_path, m=code))]
    assert len(messages) == 3
    assert any("Worker.one` is implemented by a method that is not an endpoint" in message for message in messages)
    assert any("Worker.two` is not implemented" in message for message in messages)
    assert any("not a method" in message for message in messages)


def test_wrong_links_are_named(tmp_path):
    """A link that fits no dependency, at the line of the link."""
    code = (
        SERVICE + "@service(dynamo={})\nclass B:\n    @dynamo_endpoint\n    async def b(self, r): return 1\nA.link(B)"
    )
    found = only(project(tmp_path, m=code))
    assert "A.link(B)" in found.message
    assert found.where.line == 11


def test_an_unservable_type_is_told(tmp_path):
    """A plain class and a lock cannot travel."""
    code = """
    import threading
    class Plain:
        pass
    @service(dynamo={})
    class A:
        @dynamo_endpoint
        async def a(self, request: Plain) -> threading.Thread: return 1
    """
    assert len(problems(project(tmp_path, m=code))) == 2


def test_depending_on_a_plain_http_service_is_told(tmp_path):
    """It is not reachable inside the graph."""
    code = (
        "@service\nclass B:\n    @api\n    async def b(self): return 1\n"
        "@service\nclass A:\n    b = depends(B)\n    @api\n    async def a(self): return 1"
    )
    assert "over HTTP only" in only(project(tmp_path, m=code)).message


def test_a_stand_in_that_is_asked_for_a_value_is_told(tmp_path):
    """At the author's line."""
    found = only(project(tmp_path, m="import torch\nif torch.cuda.is_available():\n    pass"), stand_ins=["torch"])
    assert found.where.line == 4
    assert "torch.cuda.is_available()" in found.message


def test_an_endpoint_that_is_not_async_is_a_warning(tmp_path):
    """It works, but one request at a time."""
    heard = []
    code = "@service\nclass A:\n    @api\n    def a(self): return 1"
    explore("m:A", project(tmp_path, m=code), on=heard.append).graph
    assert [event for event in heard if isinstance(event, Warned) and "not async" in event.text]


def test_the_base_image_is_a_symbol(tmp_path, monkeypatch):
    """The environment of whoever describes a graph is not part of it."""
    monkeypatch.setenv("DYNAMO_IMAGE", "registry.example/other:1")
    graph = explore("hello_world:Frontend", GRAPHS).graph
    assert {service.image for service in graph.services} == {""}
