"""Whether an image is whole."""

from __future__ import annotations

import io
from dataclasses import replace

from dynamo_build.oci import validate
from dynamo_build.oci.oci_image import OciImage
from support import handmade


def test_a_whole_image_has_no_problems() -> None:
    """What we make is whole."""
    assert validate.find_image_problems(handmade.image()) == ()


def test_each_lie_is_told() -> None:
    """Other bytes, another diff id, another config and a wrong history are all seen."""
    made = handmade.image()
    other = replace(made.layers[0], source=lambda: io.BytesIO(b"x" * made.layers[0].size))
    assert validate.find_image_problems(replace(made, layers=(other,)))
    config = {**made.document}
    lied = OciImage.compose(config, [replace(made.layers[0], diff_id="sha256:" + "0" * 64)])
    assert any("another diff id" in problem for problem in validate.find_image_problems(lied))
    assert any(
        "another config" in problem
        for problem in validate.find_image_problems(replace(made, config=made.config + b" "))
    )
    short = OciImage.compose({**config, "history": []}, made.layers)
    assert validate.find_image_problems(short) == ("the history has 0 layers, the image 1",)
