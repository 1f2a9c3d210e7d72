"""Secrets of a build, as they are named, passed on and kept out of talk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dynamo_build.builders import secrets
from dynamo_build.errors import ImageBuildError, UsageError
from dynamo_build.events import Event, Finished, Output, Progress
from dynamo_build.model.image import BuildSecret

NETRC = "machine index.example login me password pa55word-of-mine\n"


def test_files_and_variables(tmp_path: Path) -> None:
    """The two sources; a relative path is one of the working folder."""
    (tmp_path / "netrc").write_text(NETRC)
    found = secrets.parsed(f"id=netrc,src={tmp_path}/netrc", {})
    assert found == BuildSecret(id="netrc", path=f"{tmp_path}/netrc")
    token = secrets.parsed("id=token,env=TOKEN", {"TOKEN": "x"})
    assert token == BuildSecret(id="token", variable="TOKEN")
    assert secrets.options([found, token]) == [
        "--secret",
        f"id=netrc,src={tmp_path}/netrc",
        "--secret",
        "id=token,env=TOKEN",
    ]


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("id=a", "file or a variable"),
        ("id=a,src=/none,env=B", "file or a variable"),
        ("src=/none", "form"),
        ("id=../a,env=HOME", "form"),
        ("id=a,env=HOME,mode=7", "form"),
        ("hunter2-hunter2", "form"),
        ("id=a,env=NOT_SET", "not set"),
        ("id=a,src=/nonexistent/file", "not a file"),
    ],
)
def test_what_names_no_secret_is_one_line(given: str, seen: str) -> None:
    """What was given is not repeated: it may be the secret itself."""
    with pytest.raises(UsageError, match=seen) as failed:
        secrets.parsed(given, {"HOME": "/root"})
    assert "hunter2" not in failed.value.message


def test_an_installer_gets_files_and_variables(tmp_path: Path) -> None:
    """A login file by its name, pip's indexes in uv's words, others as variables; nothing is left behind."""
    netrc = tmp_path / "netrc"
    netrc.write_text(NETRC)
    settings = (
        "[global]\nindex-url = https://me:pw@one.example/simple\nextra-index-url =\n  https://two\n  https://three\n"
    )
    environment = {"PATH": "/bin", "PIP": settings, "TOKEN": "abc\n"}
    wanted = [
        BuildSecret(id="netrc", path=str(netrc)),
        BuildSecret(id="uv", variable="TOKEN"),
        BuildSecret(id="pip", variable="PIP"),
        BuildSecret(id="UV_INDEX_ONE_PASSWORD", variable="TOKEN"),
    ]
    with secrets.variables(wanted, environment) as found:
        assert Path(found["NETRC"]).read_text() == NETRC
        assert os.stat(Path(found["UV_CONFIG_FILE"]).parent).st_mode & 0o77 == 0
        assert found["UV_DEFAULT_INDEX"] == "https://me:pw@one.example/simple"
        assert found["UV_INDEX"] == "https://two https://three"
        assert found["UV_INDEX_ONE_PASSWORD"] == "abc"
    assert not Path(found["NETRC"]).exists()
    with secrets.variables([], environment) as found:
        assert found is environment


def test_a_proxy_with_a_login_stands_in_no_command() -> None:
    """Its value is taken from the environment; others are given."""
    environment = {"http_proxy": "http://me:pw@proxy:3128"}
    found = secrets.arguments({**environment, "BASE_IMAGE": "b:1"}, environment)
    assert found == ["--build-arg", "BASE_IMAGE=b:1", "--build-arg", "http_proxy"]


def test_talk_is_masked() -> None:
    """Words of a login file and passwords in addresses, in events and in errors; the rest stays readable."""
    environment = {"N": NETRC, "P": "[global]\nindex-url=https://me:se-cret@index.example/simple"}
    wanted = [BuildSecret(id="netrc", variable="N"), BuildSecret(id="pip", variable="P")]
    mask = secrets.Mask(wanted, environment)
    heard: list[Event] = []
    on = mask.listener(heard.append)
    on(Output(line="GET https://me:se-cret@mirror.example with pa55word-of-mine: machine is away"))
    on(Finished(what="x", detail="pa55word-of-mine"))
    on(Progress(what="push", done=1, total=2))
    assert heard == [
        Output(line="GET https://me:***@mirror.example with ***: machine is away"),
        Finished(what="x", detail="***"),
        Progress(what="push", done=1, total=2),
    ]
    with pytest.raises(ImageBuildError) as failed, mask.errors():
        raise ImageBuildError("no pa55word-of-mine", ["Try se-cret."])
    assert (failed.value.message, failed.value.hints, str(failed.value)) == ("no ***", ("Try ***.",), "no ***")
