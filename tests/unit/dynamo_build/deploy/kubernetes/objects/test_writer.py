"""The YAML writer: what goes in as a string comes out as a string, for every reader."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dynamo_build.deploy.kubernetes.objects.writer import json_documents, yaml_document, yaml_documents
from dynamo_build.errors import DeployError

AMBIGUOUS = [
    "1e3", "12e45", "1234e56", "08", "0o7", "y", "n", "Y", "yes", "no", "on", "off", "true", "null", "~", "1e-5", "0x1f",
    "1_000", "1:30", ".inf", ".nan", "2001-01-01", "=", "<<", "", " ", "- a", "a: b", "#a", "'", '"', "\\", "a\nb", "\t",
    "é", "☃", "\x85", "\u2028", "\ufeff", "\x7f", "😀", "%a", "@a", "`a", "!a", "&a", "*a", "|", ">", "{", "[",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_strings_stay_strings(text: str) -> None:
    """As a value, as a key, and in a list."""
    document = {"kind": "ConfigMap", "data": {text: text}, "list": [text, [text], {text: text}]}
    assert yaml.safe_load(yaml_document(document)) == document


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), JSON, min_size=1, max_size=4))
def test_any_document_survives(document: dict[str, Any]) -> None:
    """Whatever JSON can say is read back the same."""
    assert yaml.safe_load(yaml_document(document)) == document


def test_empty_collections_and_numbers() -> None:
    """Empty maps and lists, numbers and null keep their types."""
    document = {"empty": {}, "none": [], "list": [{}, [], 1, 1.5, True, None]}
    assert yaml.safe_load(yaml_document(document)) == document


def test_one_stream_and_one_list() -> None:
    """YAML documents stand apart; JSON is one List."""
    documents = [{"kind": "A"}, {"kind": "B"}]
    assert list(yaml.safe_load_all(yaml_documents(documents))) == documents
    assert json.loads(json_documents(documents))["items"] == documents


def test_what_json_has_not_is_refused() -> None:
    """A set cannot stand in a manifest."""
    with pytest.raises(DeployError, match="set cannot be written"):
        yaml_document({"data": {1, 2}})


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")
def test_kubectl_reads_the_same(tmp_path: Any) -> None:
    """kubectl reads every ambiguous string as that string, offline."""
    data = {f"k{number}": text for number, text in enumerate(AMBIGUOUS)} | {"y": "y", "08": "08"}
    document = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "labels": {"v": "1234e56"}},
        "data": data,
    }
    path = tmp_path / "a.yaml"
    path.write_text(yaml_document(document), encoding="utf-8")
    command = ["kubectl", "label", "--local", "-f", str(path), "probe=1", "-o", "json"]
    read = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    del read["metadata"]["labels"]["probe"]
    assert read == document
