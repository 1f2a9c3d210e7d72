"""Secrets that would be packed. The samples are put together at run time, so that none stands in this file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_build.bento.secret_scan import find_secrets, has_secret_name, scan_secrets
from dynamo_build.project.files import survey_files
from support.projects import write_project

KEY = "-----BEGIN " + "OPENSSH PRIVATE KEY-----"
SECRETS = [
    KEY,
    "-----BEGIN " + "PRIVATE KEY-----",
    "AKIA" + "ABCDEFGH12345678",
    "ghp_" + "a1B2" * 9,
    "hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH",
    "nvapi-" + "a1B2" * 12,
    "sk-" + "a1B2c3D4" * 5,
    "xoxb-" + "1234567890-" * 3,
    'api_key = "' + "q8Zt5Lw0Xn3Vb7Kc2Md9Rf4" + '"',
    '"password": "' + "q8Zt5Lw0Xn3Vb7Kc2Md9Rf4" + '"',
]
HARMLESS = [
    "-----BEGIN " + "CERTIFICATE-----",
    "-----BEGIN " + "PUBLIC KEY-----",
    'tokenizer = "meta-llama/Llama-3.1-8B-Instruct"',
    'token = os.environ["HF_TOKEN"]',
    'api_key = "${env:OPENAI_API_KEY_FOR_THE_SERVICE}"',
    'api_key = "your-api-key-goes-here-please"',
    "task-" + "a" * 40,
    "sha256:" + "0f" * 32,
]


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_are_found_and_not_repeated(tmp_path: Path, text: str) -> None:
    """Path and line are named, the text is not."""
    project = write_project(tmp_path / "p", {"conf/x.txt": f"one\ntwo\n{text}\n"})
    (problem,) = scan_secrets(project, survey_files(str(project)).files)
    assert str(problem.where) == "conf/x.txt:3"
    assert text not in problem.message + problem.hint


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_text_is_left_alone(text: str) -> None:
    """No alarm where nothing is."""
    assert list(find_secrets(text.encode())) == []


@pytest.mark.parametrize(
    ("path", "secret"),
    [
        (".env", True),
        ("a/.env.production", True),
        (".env.example", False),
        ("k/id_rsa", True),
        ("id_rsa.pub", False),
        (".aws/credentials", True),
        (".docker/config.json", True),
        ("config.json", False),
        (".netrc", True),
        ("environment.py", False),
    ],
)
def test_files_known_by_name(path: str, secret: bool) -> None:
    """Names that hold secrets, and names that look alike."""
    assert has_secret_name(path) is secret


def test_the_allow_list(tmp_path: Path) -> None:
    """Patterns of the settings let files through."""
    project = write_project(tmp_path / "p", {"tests/key.pem": KEY, "key.pem": KEY})
    found = scan_secrets(project, survey_files(str(project)).files, ["/tests/*.pem"])
    assert [problem.where.file for problem in found] == ["key.pem"]


@given(st.binary(max_size=2000))
def test_any_bytes_can_be_scanned(content: bytes) -> None:
    """No input makes the scan fail."""
    list(find_secrets(content))
