"""`dynamo image`, as a process would run it; and what `deploy --verify-key` lets through."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynamo_build import catalog
from dynamo_build.bento import bento_yaml
from dynamo_build.cli import app
from dynamo_build.events import ignore
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci.layer import Entry
from support import handmade, registry


@pytest.fixture
def image(tmp_path: Path) -> Iterator[str]:
    """An image of two layers in a registry, and the keys `k.pem` and `k.pub` in the folder that we are in."""
    base = handmade.image()
    code = handmade.packed([Entry(path="app/src/a.py", content=b"1" * 5000)], "code")
    labels = {"dynamo.bento": "hello:abc", "org.opencontainers.image.base.digest": base.digest}
    made = base.with_layers([code])
    made = made.with_config({**made.settings, "Labels": labels})
    with registry.running() as (host, _):
        named = ImageReference.parse(f"{host}/team/app:v1")
        found = catalog.surroundings({}, tmp_path / "cache").registry(named)
        found.push(made, (named,), ignore)
        found.push(base, (named.with_tag("base"),), ignore)
        yield str(named)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    make = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "k.pem"]
    subprocess.run(make, check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", "k.pem", "-pubout", "-out", "k.pub"], check=True)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = app.run([*arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_inspect_and_size(image: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """JSON is the report; the picture is written where it was asked for; a budget that is exceeded ends with 12."""
    code, out, _ = run(capsys, "image", "inspect", image, "-o", "json")
    assert code == 0 and [layer["name"] for layer in json.loads(out)["layers"]] == ["base", "code"]
    assert "over the base" in run(capsys, "image", "inspect", image)[1]
    code, out, _ = run(capsys, "image", "size", image, "--output-file", "map.svg", "--budget", "1GB", "-o", "json")
    assert code == 0 and json.loads(out)["layers"][1]["unpacked"] == 5000
    assert (tmp_path / "map.svg").read_text().startswith("<svg")
    assert run(capsys, "image", "size", image, "--output-file", "map.html")[0] == 0
    assert "<table>" in (tmp_path / "map.html").read_text()
    code, out, err = run(capsys, "image", "size", image, "--budget", "100")
    assert code == 12 and "/app/src" in out and "its budget is 0.0 MB" in err
    assert run(capsys, "image", "size", image, "--output-file", "map.png")[0] == 2
    assert run(capsys, "image", "size", image, "--budget", "lots")[0] == 2


def test_copy_rebase_and_diff(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    """stdout is the reference of what was made."""
    code, out, _ = run(capsys, "image", "copy", image, "oci:copy:v1", "-o", "name")
    assert (code, out.strip().endswith("copy:v1")) == (0, True)
    base, to = image.replace(":v1", ":base"), image.replace(":v1", ":v2")
    code, out, _ = run(capsys, "image", "rebase", image, "--base", base, "-t", to, "-o", "name")
    assert code == 0 and out.startswith(f"{to}@sha256:")
    code, out, _ = run(capsys, "image", "diff", image, to)
    assert code == 0 and "0 B to move" in out
    assert json.loads(run(capsys, "image", "diff", image, base, "-o", "json")[1])["changes"]
    code, out, _ = run(capsys, "image", "diff", image, base, "--format", "html")
    assert code == 0 and out.startswith("<!doctype html>") and "leaves it" in out
    assert run(capsys, "image", "diff", image, base, "--format", "pdf")[0] == 2
    assert run(capsys, "image", "diff", image, base, "--format", "html", "-o", "json")[0] == 2


def test_sign_and_verify(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    """13 before, 0 after, and the reference by digest."""
    assert run(capsys, "image", "verify", image, "--key", "k.pub")[0] == 13
    assert run(capsys, "image", "sign", image, "--key", "k.pem")[0] == 0
    code, out, _ = run(capsys, "image", "verify", image, "--key", "k.pub", "-o", "name")
    assert code == 0 and out.startswith(f"{image}@sha256:")


def test_documents(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On stdout, or attached, when stdout names where."""
    assert json.loads(run(capsys, "image", "sbom", image)[1])["bomFormat"] == "CycloneDX"
    assert json.loads(run(capsys, "image", "sbom", image, "--format", "spdx")[1])["spdxVersion"] == "SPDX-2.3"
    assert json.loads(run(capsys, "image", "provenance", image)[1])["predicateType"].startswith("https://slsa.dev/")
    for verb, suffix in (("sbom", ".sbom"), ("provenance", ".att")):
        code, out, _ = run(capsys, "image", verb, image, "--attach")
        assert code == 0 and f"{suffix}@sha256:" in out
    found = json.loads(run(capsys, "image", "inspect", image, "-o", "json")[1])["documents"]
    assert [entry["kind"] for entry in found] == ["application/vnd.cyclonedx+json", "application/vnd.in-toto+json"]
    assert "document  " in run(capsys, "image", "inspect", image)[1]


def test_what_is_not_there(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line and 13, for every verb that reads."""
    missing = image.replace(":v1", ":none")
    for verb in (["inspect", missing], ["size", missing], ["sbom", missing], ["copy", missing, "oci:x:1"]):
        code, _, err = run(capsys, "image", *verb)
        assert code == 13 and err.startswith("error: "), verb


def test_only_signed_images_are_deployed(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`deploy --verify-key` refuses before anything is rendered."""
    folder = Path(os.environ["DYNAMO_HOME"]) / "bentos/hello/abc"
    bento = handmade.bento(folder)
    (folder / bento_yaml.NAME).write_bytes(bento_yaml.dump(bento.manifest))
    (folder / "build.json").write_text("{}")
    digest = json.loads(run(capsys, "image", "inspect", image, "-o", "json")[1])["digest"]
    wanted = ("deploy", "hello:abc", "--set-image", f"{image}@{digest}", "--verify-key", "k.pub", "-o", "name")
    code, out, err = run(capsys, *wanted)
    assert (code, out) == (13, "") and "it has no signature" in err
    assert run(capsys, "image", "sign", image, "--key", "k.pem")[0] == 0
    assert run(capsys, *wanted)[0] == 0
