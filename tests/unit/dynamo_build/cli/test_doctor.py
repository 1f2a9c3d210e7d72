"""`dynamo doctor` and `dynamo env`, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

from support.command_line import dynamo


def states(text: str) -> dict[str, str]:
    """What was found, by name."""
    return {finding["name"]: finding["state"] for finding in json.loads(text)}


def test_a_bare_surrounding(tmp_path: Path) -> None:
    """What is not there is absent with a hint; nothing is broken, so it ends with 0 and makes no folder."""
    home = tmp_path / "home"
    found = dynamo(
        "doctor", "-o", "json", folder=tmp_path, DYNAMO_HOME=str(home), KUBECONFIG="", DOCKER_HOST="unix:///no"
    )
    assert found.returncode == 0, found.stderr
    seen = states(found.stdout)
    assert seen["Python"] == seen["store"] == "ok"
    assert seen["Docker Engine"] == seen["base image"] == seen["registry"] == "absent"
    assert all(finding["hint"] for finding in json.loads(found.stdout) if finding["state"] != "ok")
    assert not home.exists()


def test_what_is_broken_ends_with_15(tmp_path: Path) -> None:
    """A tool that commands need and a base that is no reference are named in one line."""
    found = dynamo(
        "doctor", folder=tmp_path, DYNAMO_HOME=str(tmp_path), DYNAMO_IMAGE="No Such Image", DOCKER_HOST="unix:///no"
    )
    assert found.returncode == 15
    assert "error: broken here: base image" in found.stderr
    assert "Traceback" not in found.stderr


def test_fix_makes_the_store(tmp_path: Path) -> None:
    """`--fix` does what needs no question, says so, and finds nothing the second time."""
    home = tmp_path / "home"
    first = dynamo("doctor", "--fix", folder=tmp_path, DYNAMO_HOME=str(home))
    assert f"made {home}" in first.stderr and home.is_dir()
    assert "made" not in dynamo("doctor", "--fix", folder=tmp_path, DYNAMO_HOME=str(home)).stderr


def test_a_registry_that_is_gone_is_only_asked_for_online(tmp_path: Path) -> None:
    """Without `--online` no address is spoken to."""
    around = {"DYNAMO_HOME": str(tmp_path), "DYNAMO_IMAGE": "127.0.0.1:1/base:1"}
    assert states(dynamo("doctor", "-o", "json", folder=tmp_path, **around).stdout)["base image"] == "ok"
    assert (
        states(dynamo("doctor", "--online", "-o", "json", folder=tmp_path, **around).stdout)["base image"] == "broken"
    )


def test_env_shows_settings_without_credentials(tmp_path: Path) -> None:
    """Versions, settings with their sources; what stands before the @ of an address stays unseen."""
    (tmp_path / "dynamo.yaml").write_text("deploy:\n  nats: nats://someone:hidden@broker:4222\n")
    found = dynamo("env", "-o", "json", folder=tmp_path)
    assert found.returncode == 0, found.stderr
    value = json.loads(found.stdout)
    assert value["settings"]["deploy.nats"] == {"value": "nats://…@broker:4222", "source": "dynamo.yaml"}
    assert value["versions"]["pydantic"]
    assert "hidden" not in found.stdout + dynamo("env", folder=tmp_path).stdout
