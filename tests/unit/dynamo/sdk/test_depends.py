"""Dependencies as attributes: nothing before they are bound, clients after."""

import pytest

from dynamo.sdk import depends, service
from dynamo.sdk.depends import bind, dependencies_of
from dynamo.sdk.errors import NotBound


@service(dynamo={})
class Backend:
    pass


class MixIn:
    inherited = depends(Backend)


def made():
    class Caller(MixIn):
        backend = depends(Backend)

    return service(Caller)


def test_access_before_binding_says_what_is_missing():
    """And not an AttributeError, which hasattr would swallow."""
    with pytest.raises(NotBound, match=r"Caller.backend.*dynamo serve"):
        _ = made()().backend


def test_bound_to_a_service_every_instance_has_the_client():
    """Even inside `__init__`."""
    caller = made()
    bind(caller, {"backend": "client", "inherited": "other"})
    assert (caller().backend, caller().inherited) == ("client", "other")


def test_bound_to_an_instance_only_it_has_the_client():
    """For tests of an author's own."""
    caller = made()
    first, second = caller(), caller()
    bind(first, {"backend": "client"})
    assert first.backend == "client"
    with pytest.raises(NotBound):
        _ = second.backend


def test_binding_what_is_not_a_dependency_is_refused():
    """By name."""
    with pytest.raises(ValueError, match="nothing"):
        bind(made(), {"nothing": 1})


def test_dependencies_of_base_classes_come_first():
    """Mix-ins count."""
    assert list(dependencies_of(made().inner)) == ["inherited", "backend"]
    assert dependencies_of(made().inner)["backend"].on is Backend
