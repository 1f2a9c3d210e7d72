"""What an image holds, and what a budget says to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dynamo_build.errors import RegistryError, UsageError
from dynamo_build.image.diff_page import HEIGHT, WIDTH, Area, render_treemap, render_treemap_page
from dynamo_build.image.image_diff import diff_images
from dynamo_build.image.image_report import build_report, count_own_layers
from dynamo_build.oci.budget import explain_excess, parse_size
from dynamo_build.oci.compression import ZSTD, create_compressor
from dynamo_build.oci.contents import list_contents
from dynamo_build.oci.layer import Entry, Layer
from dynamo_build.oci.oci_image import OciImage
from support import handmade

INFO = "app/packages/alpha_one-1.0.dist-info"


def packages(version: str = "1.0", size: int = 500) -> list[Entry]:
    info = INFO.replace("1.0", version)
    return [
        Entry(path="app/packages/alpha_one/__init__.py", content=b"x" * size),
        Entry(path=f"{info}/METADATA", content=b"Name: alpha-one\n"),
        Entry(
            path=f"{info}/RECORD",
            content=f"alpha_one/__init__.py,,\n{info.rpartition('/')[2]}/METADATA,,\n{info.rpartition('/')[2]}/RECORD,,\n".encode(),
        ),
        Entry(path="app/packages/stray.txt", content=b"abc"),
        Entry(path="app/packages/link", link="stray.txt"),
    ]


def image(version: str = "1.0", code: bytes = b"1\n") -> OciImage:
    layers = [
        handmade.packed(packages(version), "packages: alpha"),
        handmade.packed([Entry(path="app/src/a.py", content=code)], "code"),
    ]
    labels = {"dynamo.bento": "hello:abc", "dynamo.python": '{"version":"3.11.7"}', "dynamo.bytecode": "none"}
    return handmade.image(labels=labels).with_layers(layers)


def test_whose_files_these_are() -> None:
    """Files belong to the package whose RECORD names them, others to their folder; the largest first."""
    found = build_report(image(), "here")
    assert [layer.name for layer in found.layers] == ["base", "packages: alpha", "code"]
    base, held_, code = found.layers
    assert base.files == 0 and (code.files, code.unpacked) == (1, 2)
    assert [(part.name, part.version, part.files) for part in held_.parts] == [
        ("alpha-one", "1.0", 3),
        ("/app/packages", "", 1),
    ]
    assert found.own == held_.size + code.size and found.size == found.own + base.size
    assert (found.bento, found.python) == ("hello:abc", "3.11.7")


def test_what_is_read_is_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """`none` opens no layer, `own` none of the base, `all` every one."""
    made = image()
    opened: list[str] = []

    def watched(layer: Layer) -> Layer:
        return replace(layer, source=lambda: (opened.append(layer.name), layer.source())[1])

    made = replace(made, layers=tuple(watched(layer) for layer in made.layers))
    build_report(made, "here", read="none")
    assert opened == []
    build_report(made, "here", read="own")
    assert opened == ["packages: alpha", "code"]
    build_report(made, "here", read="all")
    assert len(opened) == 5


def test_layers_over_the_base_are_known_by_history() -> None:
    """An image of another tool has none that are ours."""
    assert count_own_layers(handmade.image()) == 0
    assert count_own_layers(image()) == 2


def test_zstd_layers_are_read_too(tmp_path: Path) -> None:
    """The same entries come out of every compression."""
    from dynamo_build.oci.cache import LayerCache

    plain = handmade.packed(packages())
    packed = LayerCache(tmp_path, create_compressor("zstd")).find_or_make(packages(), "x")
    assert packed.media_type == ZSTD and packed.diff_id == plain.diff_id
    assert list(list_contents(packed, digests=True)) == list(list_contents(plain, digests=True))


def test_a_layer_that_is_no_archive() -> None:
    """Damaged content is one line."""
    layer = handmade.packed([Entry(path="a", content=b"a")])
    content = b"nonsense"
    import io

    from dynamo_build.oci.documents import digest_of

    broken = replace(layer, digest=digest_of(content), size=len(content), source=lambda: io.BytesIO(content))
    with pytest.raises(RegistryError, match="cannot be read"):
        list(list_contents(broken))


def test_two_images() -> None:
    """Packages with versions, files with digests, settings; what both have is not named, and not read."""
    before, after = image(), image("2.0", b"2\n")
    after = after.with_config({**after.settings, "User": "7", "Env": ["PATH=/bin", "NEW=1"]})
    found = diff_images(before, after, ("one", "two"))
    changes = {(change.kind, change.what): (change.before, change.after) for change in found.changes}
    assert changes["package", "alpha-one"] == ("1.0", "2.0")
    assert changes["setting", "User"] == ("", "7") and changes["setting", "Env.NEW"] == ("", "1")
    assert ("file", "app/src/a.py") in changes and ("file", "app/packages/stray.txt") not in changes
    assert found.moved == after.layers[1].size + after.layers[2].size and found.shared == after.layers[0].size
    same = diff_images(before, before, ("one", "one"))
    assert same.changes == () and same.moved == 0


@pytest.mark.parametrize(
    ("text", "size"), [("", 0), ("500MB", 500_000_000), ("1.5 GiB", 3 << 29), ("800", 800), ("2k", 2000)]
)
def test_sizes_that_people_write(text: str, size: int) -> None:
    """Decimal and binary units."""
    assert parse_size(text) == size


def test_what_is_no_size() -> None:
    """One line."""
    for text in ("many", "-1", "5 parsecs", "1e9"):
        with pytest.raises(UsageError, match="is not a size"):
            parse_size(text)


def test_over_the_budget() -> None:
    """The message has both numbers, and the largest layers by name."""
    assert explain_excess(100, 100, [("a", 100)]) is None
    said = explain_excess(100_000_000, 150_000_000, [("a", 1), ("b", 120_000_000), ("c", 2), ("d", 3)])
    assert said is not None and said[0] == "the image has 150.0 MB, its budget is 100.0 MB"
    assert "b 120.0 MB" in said[1][0] and "a 0.0" not in said[1][0]


def test_areas_are_as_large_as_what_they_stand_for() -> None:
    """All within the picture, none over another, in proportion; names are escaped; the same text each time."""
    import re

    areas = [
        Area(name=f"<{size}>", size=size, parts=(Area(name="in", size=size),)) for size in (600, 300, 60, 30, 10, 0)
    ]
    drawn = render_treemap("sizes & more", areas)
    assert drawn == render_treemap("sizes & more", list(reversed(areas)))
    boxes = re.findall(
        r'<title>&lt;(\d+)&gt;</title><rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', drawn
    )
    assert len(boxes) == 5 and "&amp; more" in drawn and "<600>" not in drawn
    for size, x, y, width, height in (map(float, box) for box in boxes):
        assert x + width <= WIDTH + 0.2 and y + height <= HEIGHT + 0.2
        assert width * height == pytest.approx(WIDTH * HEIGHT * size / 1000, rel=0.02, abs=60)
    assert "<table>" in render_treemap_page("sizes", areas) and "http://" not in render_treemap_page(
        "sizes", areas
    ).replace("http://www.w3.org/2000/svg", "")
    assert render_treemap("nothing", [])
