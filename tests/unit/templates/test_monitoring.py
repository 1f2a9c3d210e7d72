"""The dashboard and the alerts for Prometheus ask for what workers really count."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from dynamo.rpc.metrics import Metrics
from dynamo.sdk import errors

FOLDER = Path(__file__).resolve().parents[3] / "templates" / "monitoring"


def counted() -> tuple[set[str], set[str]]:
    """The names of metrics and labels that a worker writes."""
    metrics = Metrics()
    metrics.count_started("e")
    metrics.count_ended("e", "ok", 0.1)
    text = metrics.render_text({"service": "s"})
    return set(re.findall(r"(?m)^(\w+)\{", text)), set(re.findall(r'(\w+)="', text))


def expressions() -> list[str]:
    """Every query of the two files."""
    panels = json.loads((FOLDER / "grafana.json").read_text())["panels"]
    rules = yaml.safe_load((FOLDER / "rules.yaml").read_text())["spec"]["groups"][0]["rules"]
    return [target["expr"] for panel in panels for target in panel["targets"]] + [rule["expr"] for rule in rules]


def test_queries_name_what_is_counted() -> None:
    """Each metric and each label exists; Kubernetes adds `namespace`."""
    metrics, labels = counted()
    assert len(expressions()) >= 7
    for expression in expressions():
        assert set(re.findall(r"dynamo_\w+", expression)) <= metrics, expression
        used = set(re.findall(r'(\w+)\s*(?:=|!=|=~|!~)\s*"', expression))
        grouped = {name.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for name in group.split(",")}
        assert used | grouped <= labels | {"namespace"}, expression
        assert expression.count("(") == expression.count(")") and expression.count("{") == expression.count("}")


def test_outcomes_that_are_no_alarm_exist() -> None:
    """The codes that the alert leaves out are codes of the SDK's errors."""
    rule = yaml.safe_load((FOLDER / "rules.yaml").read_text())["spec"]["groups"][0]["rules"][0]["expr"]
    (named,) = re.findall(r'outcome!~"([^"]*)"', rule)
    codes = {getattr(kind, "code", "") for kind in vars(errors).values() if isinstance(kind, type)}
    assert set(named.split("|")) - {"ok"} <= codes
