"""The page of a difference between two images."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from dynamo_build.image.diff_page import render_diff_page
from dynamo_build.model.report import Change, ImageDiff, ImageReport, LayerReport, Part

BASE = LayerReport(digest="sha256:b", diff_id="sha256:b", size=600, name="base")
OLD = LayerReport(digest="sha256:1", diff_id="sha256:1", size=100, name="code")
NEW = LayerReport(
    digest="sha256:2",
    diff_id="sha256:2",
    size=300,
    name="code",
    parts=(Part(name="/app/<src>", size=900, files=2), Part(name="idna", version="3.1", size=40, files=9)),
)
GONE = LayerReport(digest="sha256:3", diff_id="sha256:3", size=7, name="config")
FOUND = ImageDiff(
    before="h/a:1",
    after="h/a:2",
    moved=300,
    shared=600,
    changes=(
        Change(kind="setting", what="Env.A", before='"1"', after="<2>"),
        Change(kind="package", what="idna", after="3.1"),
        Change(kind="file", what="app/src/a & b.py", before="0123"),
    ),
)


def image(name: str, *layers: LayerReport) -> ImageReport:
    return ImageReport(
        reference=name, digest="d", config_digest="c", platform="linux/amd64", size=1, own=1, layers=layers
    )


TEXT = render_diff_page(FOUND, image("h/a:1", BASE, OLD, GONE), image("h/a:2", BASE, NEW), lambda size: f"{size} B")


class Outline(HTMLParser):
    """Elements that stand in one another as they should, and the rows of tables by their caption."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.rows: list[list[str]] = []
        self.caption = ""
        self.attributes: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.attributes.append((tag, dict(attrs)))
        if tag not in ("meta", "rect"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_startendtag(self, tag, attrs):
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "table":
            self.tables[self.caption], self.rows = self.rows[1:], []

    def handle_data(self, data):
        if self.open and self.open[-1] == "caption":
            self.caption = data
        elif self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)


def outline() -> Outline:
    found = Outline()
    found.feed(TEXT)
    assert found.open == []
    return found


def test_tables() -> None:
    """Each layer with what a pull does to it, and each difference; nothing of a name is taken for markup."""
    tables = outline().tables
    assert tables["Layers"] == [
        ["base", "600 B", "600 B", "shares it"],
        ["code", "100 B", "300 B", "moves it"],
        ["config", "7 B", "–", "leaves it"],
    ]
    assert tables["Settings"] == [["Env.A", '"1"', "<2>"]]
    assert tables["Packages"] == [["idna", "–", "3.1"]]
    assert tables["Files"] == [["app/src/a & b.py", "0123", "–"]]
    assert "Base: no difference." in TEXT


def test_picture() -> None:
    """What is moved and what is shared is said in words, with what a moved layer holds."""
    titles = re.findall(r"<g><title>([^<]*)</title>", TEXT)
    assert titles == ["shared: base 600 B", "moved: code 300 B", "/app/&lt;src&gt; 900 B", "idna 3.1 40 B"]


def test_for_everyone() -> None:
    """A language, a heading, a picture with a name that the keyboard reaches, heads of rows and columns."""
    found = outline()
    assert ("html", {"lang": "en"}) in found.attributes
    (figure,) = [each for tag, each in found.attributes if tag == "figure"]
    assert figure["tabindex"] == "0" and figure["aria-label"]
    (picture,) = [each for tag, each in found.attributes if tag == "svg"]
    assert picture["role"] == "img" and picture["aria-label"] == "300 B to move, 600 B shared"
    assert all(each.get("scope") for tag, each in found.attributes if tag == "th")


def test_no_request() -> None:
    """Nothing is fetched: no script, link, image or address."""
    tags = {tag for tag, _ in outline().attributes}
    assert tags.isdisjoint({"script", "link", "img", "iframe", "object"})
    assert "url(" not in TEXT and "://" not in TEXT.replace("http://www.w3.org/2000/svg", "")
