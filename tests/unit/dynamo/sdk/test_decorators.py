"""`@service` and the endpoint decorators in every form in which they are written."""

import sys
import types

import pytest
from pydantic import BaseModel

import dynamo.sdk
from dynamo.sdk import DYNAMO_IMAGE, api, depends, dynamo_endpoint, endpoint, service
from dynamo.sdk.config import ServiceConfig
from dynamo.sdk.decorators import Service, endpoints_of, load_service


class Request(BaseModel):
    text: str


@service(dynamo={"enabled": True, "namespace": "test"}, resources={"cpu": 2, "memory": "1Gi", "gpu": 1}, workers=3)
class Worker:
    """Works."""

    limit = 3

    def __init__(self, model="m", *, temperature: float = 0.5):
        self.model = model

    @dynamo_endpoint
    async def bare(self, request: Request):
        yield request

    @dynamo_endpoint()
    async def called(self, request):
        return request

    @endpoint(name="chat/completions")
    async def named(self, request: dict) -> dict:
        return request

    @api
    async def page(self, text, times: int = 1):
        yield text

    @api(name="other", http_method="get")
    async def other_page(self):
        return 1


def of(name):
    return next(item for item in endpoints_of(Worker) if item.name == name)


def test_a_service_is_still_its_class():
    """Instances, attributes, docstring, subclassing and isinstance go on as before."""
    made = Worker(model="x")
    assert (made.model, Worker.limit, Worker.__doc__, Worker.name) == ("x", 3, "Works.", "Worker")
    assert isinstance(made, Worker)

    class Child(Worker):
        pass

    assert issubclass(Child, Worker.inner)
    assert repr(Worker).startswith("<service ")


def test_the_spec_says_what_the_decorator_said():
    """Ints become quantities; what is not given has its default."""
    spec = Worker.build_spec()
    assert (spec.name, spec.namespace, spec.workers, spec.dynamo, spec.http) == ("Worker", "test", 3, True, True)
    assert (spec.resources.cpu, spec.resources.memory, spec.resources.gpu) == ("2", "1Gi", "1")
    assert [(item.name, item.required, item.default) for item in spec.parameters] == [
        ("model", False, "m"),
        ("temperature", False, 0.5),
    ]


@pytest.mark.parametrize("name", ["bare", "called", "chat/completions"])
def test_endpoint_decorators_work_bare_called_and_named(name):
    """All three are endpoints of the graph."""
    assert of(name).transport == "dynamo"


def test_endpoints_know_their_types():
    """A pydantic model's own schema; none for a request without annotation; streams by generator or annotation."""
    assert of("bare").streaming and not of("called").streaming
    assert of("bare").request_schema["required"] == ["text"]
    assert of("called").request_type == ""
    assert of("chat/completions").response_schema == {"type": "object"}


def test_api_routes_know_their_arguments_and_verb():
    """The members of the body are the arguments, defaults are optional."""
    page = of("page")
    assert page.request_schema["required"] == ["text"]
    assert page.request_schema["properties"]["times"] == {"type": "integer"}
    assert (of("other").http_method, of("other").method) == ("GET", "other_page")


def test_an_http_method_that_does_not_exist_is_refused():
    """At once, with its name."""
    with pytest.raises(ValueError, match="FETCH"):
        api(http_method="FETCH")


@pytest.mark.parametrize(
    ("keywords", "enabled"),
    [
        ({}, False),
        ({"dynamo": {}}, True),
        ({"dynamo": {"enabled": False}}, False),
        ({"dynamo": {"namespace": "x"}}, True),
    ],
)
def test_without_dynamo_a_service_is_plain_http(keywords, enabled):
    """`dynamo=` absent or `enabled` False."""
    assert service(**keywords)(type("Any", (), {})).build_spec().dynamo is enabled


def test_service_without_parentheses():
    """`@service` alone is a plain service."""

    @service
    class Plain:
        pass

    assert isinstance(Plain, Service)
    assert not Plain.build_spec().dynamo


@pytest.mark.parametrize(
    ("keywords", "message", "hint"),
    [
        ({"resource": {}}, "unknown key `resource`", "`resources`"),
        ({"resources": {"mem": "1"}}, "unknown key `resources.mem`", ""),
        ({"resources": {"memory": "1GB"}}, "`resources.memory` is '1GB'", "16Gi"),
        ({"resources": {"cpu": -1}}, "`resources.cpu` is -1", "quantity"),
        ({"resources": {"gpu": "two"}}, "`resources.gpu`", "devices"),
        ({"resources": {"gpu": True}}, "`resources.gpu`", "devices"),
        ({"resources": 3}, "`resources` is an int", "dictionary"),
        ({"workers": "many"}, "`workers`", "workers=2"),
        ({"dynamo": {"enabled": "yes"}}, "`dynamo.enabled`", "True"),
        ({"dynamo": {"namespace": "a b"}}, "`dynamo.namespace`", "letters"),
        ({"envs": "A=b"}, "`envs`", "name"),
        ({"image": 3}, "`image`", "DYNAMO_IMAGE"),
    ],
)
def test_wrong_keywords_are_problems_not_exceptions(keywords, message, hint):
    """Each names the key, the value seen and what to write."""
    found = service(**keywords)(type("S", (), {})).problems
    assert len(found) == 1
    assert message in found[0].message
    assert hint in found[0].hint or hint in found[0].message
    assert found[0].where.file == __file__


def test_known_extras_are_fine():
    """Keywords that have no meaning here are no problem."""
    made = service(traffic={"timeout": 60}, app=object(), labels={"a": 1}, envs=[{"name": "A", "value": "b"}])(
        type("S", (), {})
    )
    assert made.problems == ()
    assert (made.build_spec().traffic, made.build_spec().labels, made.build_spec().envs) == (
        {"timeout": 60},
        {"a": "1"},
        {"A": "b"},
    )


def test_the_name_can_be_another_than_the_class():
    """`dynamo={"name": …}` is what others call it by."""
    assert service(dynamo={"name": "other"})(type("S", (), {})).dynamo_address() == ("default", "other")


def test_the_address_follows_the_configuration():
    """A configured namespace wins."""
    assert Worker.dynamo_address() == ("test", "Worker")
    ServiceConfig.set_instance({"Worker": {"ServiceArgs": {"dynamo": {"namespace": "staging"}}}})
    try:
        assert Worker.dynamo_address() == ("staging", "Worker")
    finally:
        ServiceConfig.set_instance(None)


def test_a_module_answers_for_the_service_of_its_name(monkeypatch):
    """`import ServiceB`, then `ServiceB.dynamo_address()`."""
    module = types.ModuleType("ServiceB")
    monkeypatch.setitem(sys.modules, "ServiceB", module)
    cls = type("ServiceB", (), {"__module__": "ServiceB"})
    module.ServiceB = service(dynamo={"namespace": "n"})(cls)
    assert module.dynamo_address() == ("n", "ServiceB")
    assert depends(module).on is module


def test_load_finds_a_service_by_its_place(monkeypatch):
    """The worker's way in; anything else is an error that says so."""
    module = types.ModuleType("some_module")
    module.S = service(type("S", (), {}))
    module.plain = type("plain", (), {})
    monkeypatch.setitem(sys.modules, "some_module", module)
    assert load_service("some_module", "S") is module.S
    with pytest.raises(TypeError, match="not a service"):
        load_service("some_module", "plain")
    with pytest.raises(ImportError, match="T"):
        load_service("some_module", "T")


def test_inherited_endpoints_are_endpoints():
    """Base classes first, overridden ones once."""

    class Base:
        @dynamo_endpoint
        async def one(self, request): ...

        @dynamo_endpoint
        async def two(self, request): ...

    @service(dynamo={})
    class Child(Base):
        @dynamo_endpoint
        async def two(self, request): ...

        @dynamo_endpoint
        async def three(self, request): ...

    assert [item.name for item in Child.build_spec().endpoints] == ["one", "two", "three"]


def test_the_base_image_can_be_imported_when_no_image_is_set():
    """It stands for the graph's base and says so."""
    assert DYNAMO_IMAGE == ""
    assert repr(DYNAMO_IMAGE) == "DYNAMO_IMAGE"


def test_the_public_names_are_all_listed():
    """`__all__` is sorted as the linter sorts it, complete, and every name is there."""
    public = {
        name
        for name, value in vars(dynamo.sdk).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert set(dynamo.sdk.__all__) == public
    assert dynamo.sdk.endpoint is dynamo.sdk.dynamo_endpoint
    assert dynamo.sdk.dynamo_api is dynamo.sdk.api
    assert dynamo.sdk.on_shutdown is dynamo.sdk.async_on_shutdown


def test_the_sdk_needs_only_the_standard_library():
    """Importing it loads no package but our own."""
    import subprocess

    code = (
        "import sys; before = set(sys.modules); import dynamo.sdk, dynamo.sdk.describe;"
        "new = {n.partition('.')[0] for n in set(sys.modules) - before};"
        "print(sorted(n for n in new if n not in sys.stdlib_module_names and n != 'dynamo'))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
