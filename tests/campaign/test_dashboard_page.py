"""The page in a real browser: what it shows, from the keyboard, in both schemes; part of the campaign."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynamo.sdk.graph import Edge, ServiceGraph, ServiceSpec
from dynamo_build.local.page.measure import Rate
from dynamo_build.local.page.server import Server, page
from dynamo_build.local.page.watch import Gauge, State, Watch

GRAPH = ServiceGraph(
    target="app:Frontend",
    entry="Frontend",
    services=(
        ServiceSpec(name="Worker", module="app", qualname="Worker"),
        ServiceSpec(name="Frontend", module="app", qualname="Frontend", edges=(Edge(attribute="w", service="Worker"),)),
    ),
)
STATE = State(
    workers=(
        {"worker": "Worker", "service": "Worker", "state": "starting", "pid": 0, "seconds": 0, "restarts": 3},
        {"worker": "Frontend", "service": "Frontend", "state": "ready", "pid": 7, "seconds": 61, "restarts": 0},
    ),
    rates=(Rate(service="Worker", endpoint="<b>generate</b>", requests=12.5, failures=0.5, running=2, p50=0.0123),),
    gauges=(Gauge(worker="Worker", name="kv_hit_rate", value=0.42),),
    logs=("[Worker] <script>alert(1)</script>",),
)
ALONE = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--virtual-time-budget=4000",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


class Still(Watch):
    """A watch that does not look."""

    def __init__(self, state: State) -> None:
        self.state = state


@pytest.fixture
def address() -> Iterator[str]:
    server = Server("127.0.0.1", 0, *page(GRAPH), Still(STATE))
    server.start()
    yield server.address
    server.stop()


def browse(address: str, folder: Path, *arguments: str) -> str:
    """What Chromium prints for a page after four of its seconds, with nothing but loopback to reach."""
    program = shutil.which("chromium")
    assert program, "install Chromium: apt-get install chromium"
    done = subprocess.run(
        [program, *ALONE, f"--user-data-dir={folder}/profile", *arguments, address],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_the_page_shows(address: str, tmp_path: Path) -> None:
    """Numbers, states and logs are text in their places, and nothing that was said becomes markup."""
    text = browse(address, tmp_path, "--dump-dom")
    assert "1 of 2 workers ready" in text
    assert "12.5" in text and "12.3 ms" in text and "kv_hit_rate" in text and "1 min 1 s" in text
    assert "&lt;b&gt;generate&lt;/b&gt;" in text and "&lt;script&gt;alert(1)" in text
    assert re.search(r'class="service down" data-service="Worker"', text)
    assert not re.search(r'class="[^"]*down[^"]*" data-service="Frontend"', text)


@pytest.mark.parametrize(("name", "size"), [("wide", "1200,1000"), ("narrow", "360,900")])
def test_screenshots(address: str, tmp_path: Path, name: str, size: str) -> None:
    """A picture is drawn at both widths, and is not one flat colour."""
    picture = tmp_path / f"{name}.png"
    browse(address, tmp_path, f"--window-size={size}", f"--screenshot={picture}")
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 10_000


def test_contrast() -> None:
    """Text stands out from its ground by 4.5 at least, in both schemes (WCAG 2.2, 1.4.3)."""
    style = page(GRAPH)[0].decode()
    for scheme in re.findall(r"--ground: (#\w{6}); --text: (#\w{6}); --line: #\w{6}; (.*?) \}", style):
        ground, *texts = scheme[0], scheme[1], *re.findall(r"#\w{6}", scheme[2])
        assert len(texts) == 4
        assert all(contrast(ground, text) >= 4.5 for text in texts), scheme


def contrast(one: str, other: str) -> float:
    """The ratio of two colours' luminances."""
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
