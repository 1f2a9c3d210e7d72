"""The configuration as a service reads it, and as the build applies it."""

import json

import pytest

from dynamo.sdk.config import ServiceConfig, apply_config, load_config, near_misses, validate_config
from dynamo.sdk.graph import Parameter, ServiceGraph, ServiceSpec

CONFIG = ServiceConfig(
    {
        "Common": {"model": "m", "block-size": 64, "unused": 1},
        "Worker": {
            "common-configs": ["model", "block-size", "missing"],
            "block-size": 32,
            "enforce-eager": True,
            "remote-prefill": False,
            "enable_prefix_caching": False,
            "names": ["a", "b c", 3],
            "empty": [],
            "nothing": None,
            "kv-transfer-config": {"kv_connector": "x"},
            "rate": -0.5,
            "ServiceArgs": {"workers": 2},
        },
        "Prefixed": {"lib_one": 1, "lib_flag": True, "other": 2},
    }
)

GRAPH = ServiceGraph(
    target="m:Worker",
    entry="Worker",
    services=(
        ServiceSpec(
            name="Worker", module="m", qualname="Worker", parameters=(Parameter(name="model_name", required=False),)
        ),
    ),
)


def test_as_args_gives_what_a_parser_expects():
    """Common keys first; flags bare; lists item by item; JSON for dictionaries; nothing for null."""
    assert CONFIG.as_args("Worker") == [
        "--model", "m",
        "--block-size", "32",
        "--enforce-eager",
        "--no-enable_prefix_caching",
        "--names", "a", "b c", "3",
        "--kv-transfer-config", '{"kv_connector": "x"}',
        "--rate", "-0.5",
    ]  # fmt: skip


def test_as_args_with_a_prefix_takes_it_off():
    """Only the keys that have it."""
    assert CONFIG.as_args("Prefixed", prefix="lib_") == ["--one", "1", "--flag"]


def test_an_unknown_service_has_no_arguments():
    """Nor keys."""
    assert CONFIG.as_args("Nobody") == []
    assert CONFIG.get_parsed_config("Nobody") == {}


def test_the_parsed_configuration_has_no_keys_of_ours():
    """`ServiceArgs` and `common-configs` are left out, Common ones are in."""
    parsed = CONFIG.get_parsed_config("Worker")
    assert parsed["model"] == "m" and parsed["block-size"] == 32
    assert "ServiceArgs" not in parsed and "common-configs" not in parsed and "unused" not in parsed


def test_require_names_what_is_missing():
    """As a ValueError."""
    assert CONFIG.require("Worker", "rate") == -0.5
    with pytest.raises(ValueError, match=r"Worker\.api_key"):
        CONFIG.require("Worker", "api_key")


def test_the_instance_reads_the_environment_once(monkeypatch):
    """Of this process."""
    monkeypatch.setenv("DYNAMO_SERVICE_CONFIG", '{"S": {"a": 1}}')
    ServiceConfig.set_instance(None)
    try:
        assert ServiceConfig.get_instance().get("S", {}) == {"a": 1}
        assert ServiceConfig.get_instance() is ServiceConfig.get_instance()
    finally:
        ServiceConfig.set_instance(None)


def test_sources_merge_in_order(tmp_path):
    """The packed configuration, the deployment's, the process's own: the last wins, key by key."""
    (tmp_path / "config.json").write_text('{"S": {"a": 1, "b": 1, "c": 1}}')
    environment = {
        "DYNAMO_BENTO": str(tmp_path),
        "DYN_DEPLOYMENT_CONFIG": '{"S": {"b": 2, "c": 2}}',
        "DYNAMO_SERVICE_CONFIG": '{"S": {"c": 3}}',
    }
    assert load_config(environment) == {"S": {"a": 1, "b": 2, "c": 3}}


@pytest.mark.parametrize("text", ["{", "[]", "3"])
def test_an_environment_that_is_not_an_object_is_refused_by_name(text):
    """Whatever it holds instead."""
    with pytest.raises(ValueError, match="DYNAMO_SERVICE_CONFIG is not"):
        load_config({"DYNAMO_SERVICE_CONFIG": text})


@pytest.mark.parametrize(
    ("config", "message", "hint"),
    [
        ({"Wroker": {}}, "unknown service `Wroker`", "`Worker`"),
        ({"Worker": {"ServiceArgs": {"worker": 2}}}, "unknown key `worker` in `Worker.ServiceArgs`", "`workers`"),
        ({"Worker": {"ServiceArgs": {"resources": {"gpus": 1}}}}, "unknown key `resources.gpus`", "`gpu`"),
        ({"Worker": {"ServiceArgs": {"workers": -1}}}, "`workers` is -1", "workers=2"),
        ({"Worker": {"ServiceArgs": {"dynamo": {"name": "x"}}}}, "renames", "decorator"),
        ({"Worker": 3}, "the configuration of `Worker` is 3", "Indent"),
        ({"Worker": {"ServiceArgs": 3}}, "`Worker.ServiceArgs` is 3", "Indent"),
        ({"Worker": {"common-configs": "model x"}}, "not a list", "common-configs"),
    ],
)
def test_what_is_wrong_with_a_configuration(config, message, hint):
    """With the nearest name."""
    found = validate_config(GRAPH, config)
    assert len(found) == 1
    assert message in found[0].message
    assert hint in found[0].hint


def test_a_sound_configuration_has_no_problems():
    """Common, empty services and free keys are fine."""
    assert validate_config(GRAPH, {"Common": {"x": 1}, "Worker": None}) == ()
    assert validate_config(GRAPH, {"Worker": {"anything": 1}}) == ()


def test_a_key_that_nearly_is_a_parameter_is_a_warning():
    """Free keys are not."""
    found = near_misses(GRAPH, {"Worker": {"model_nam": 1, "model-name": 1, "other": 2}})
    assert [(problem.message.split("`")[1], problem.hint) for problem in found] == [
        ("Worker.model_nam", "Did you mean `model_name`?")
    ]


def test_service_args_override_the_decorator():
    """Deeply: what is not named stays."""
    given = {
        "workers": 4,
        "resources": {"gpu": 2},
        "dynamo": {"namespace": "n"},
        "envs": {"A": 1, "B": True},
        "name": "x",
    }
    service = apply_config(GRAPH, {"Worker": {"ServiceArgs": given}}).service("Worker")
    assert (service.workers, service.resources.gpu, service.resources.memory) == (4, "2", "500Mi")
    assert (service.namespace, service.name) == ("n", "Worker")
    assert service.envs == {"A": "1", "B": "true"}


def test_a_configuration_survives_its_transport():
    """It is JSON."""
    assert json.loads(json.dumps(CONFIG)) == CONFIG
