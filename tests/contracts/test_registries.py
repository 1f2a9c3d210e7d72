"""What every registry of the catalogue keeps to, the in-process one and a real one alike."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dynamo.sdk import codec
from dynamo_build import catalog
from dynamo_build.errors import RegistryError
from dynamo_build.events import Event, Progress, ignore
from dynamo_build.model.reference import ImageReference
from dynamo_build.oci import documents, validate
from dynamo_build.oci.layer import Entry
from dynamo_build.oci.oci_image import OciImage
from dynamo_build.seams import Registry
from support import handmade
from support import registry as in_process

PLACES = [
    "folder",
    "in-process",
    "in-process-tokens",
    pytest.param("real", marks=pytest.mark.registry),
    pytest.param("real-tls", marks=pytest.mark.registry),
]
#: What the client of a place is given: logins and authorities.
ENVIRONMENT: dict[str, str] = {}


def login(host: str, user: str, password: str) -> str:
    secret = base64.b64encode(f"{user}:{password}".encode()).decode()
    return json.dumps({"auths": {host: {"auth": secret}}})


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A repository that holds nothing yet."""
    ENVIRONMENT.clear()
    if request.param == "folder":
        yield f"oci:{tmp_path}/images"
    elif request.param == "in-process":
        with in_process.running() as (host, _):
            yield f"{host}/team/app"
    elif request.param == "in-process-tokens":
        with in_process.running("me", "secret", bearer=True) as (host, _):
            ENVIRONMENT["DOCKER_AUTH_CONFIG"] = login(host, "me", "secret")
            yield f"{host}/team/app"
    elif request.param == "real-tls":
        found = request.getfixturevalue("registry_tls")
        ENVIRONMENT["DOCKER_AUTH_CONFIG"] = login(found["address"], found["user"], found["password"])
        ENVIRONMENT["SSL_CERT_FILE"] = found["ca"]
        yield f"{found['address']}/contract/{secrets.token_hex(8)}"
    else:
        yield f"{request.getfixturevalue('registry')}/contract/{secrets.token_hex(8)}"


def reference(place: str, tag: str = "v1") -> ImageReference:
    return ImageReference.parse(f"{place}:{tag}")


def of(found: ImageReference) -> Registry:
    return catalog.default_surroundings(environment=dict(ENVIRONMENT), cache=Path("/nonexistent")).registry(found)


def two_layers() -> OciImage:
    return handmade.image().with_layers(
        [handmade.packed([Entry(path="app/code", content=secrets.token_bytes(99))], "code")]
    )


def test_the_catalogue_is_covered() -> None:
    """Each kind of registry in the catalogue has a place here."""
    assert set(catalog.REGISTRIES) == {"folder", "http"}


def test_what_is_pushed_is_pulled(place: str) -> None:
    """The digest stays; documents and layers come back byte for byte."""
    image, to = two_layers(), reference(place)
    assert str(of(to).push(image, (to,), ignore)) == image.digest
    pulled = of(to).pull(to, "linux/amd64")
    assert (pulled.manifest, pulled.config) == (image.manifest, image.config)
    assert validate.find_image_problems(pulled) == ()


def test_tags_and_digests_resolve(place: str) -> None:
    """All tags of one push lead to its digest, and so does the digest itself."""
    image, one, two = two_layers(), reference(place, "one"), reference(place, "two")
    of(one).push(image, (one, two), ignore)
    for found in (one, two, replace(one, tag="", digest=image.digest), one.with_digest(image.digest)):
        assert str(of(one).resolve(found)) == image.digest
    by_digest = replace(one, tag="", digest=image.digest)
    assert of(one).pull(by_digest, "linux/amd64").digest == image.digest


def test_a_tag_moves(place: str) -> None:
    """A second push under the same tag wins, and the first image stays by digest."""
    first, second, to = two_layers(), two_layers(), reference(place)
    of(to).push(first, (to,), ignore)
    of(to).push(second, (to,), ignore)
    assert str(of(to).resolve(to)) == second.digest
    assert of(to).pull(replace(to, tag="", digest=first.digest), "linux/amd64").digest == first.digest


def test_pushing_again_is_fine(place: str) -> None:
    """A push of what is there changes nothing."""
    image, to = two_layers(), reference(place)
    for _ in range(2):
        assert str(of(to).push(image, (to,), ignore)) == image.digest


def test_layers_are_not_read_before_they_are_opened(place: str) -> None:
    """A pull costs two documents; pushing back where the layers are opens none of them."""
    image, to = two_layers(), reference(place)
    of(to).push(image, (to,), ignore)

    def never() -> None:
        raise AssertionError("a layer was opened")

    pulled = of(to).pull(to, "linux/amd64")
    closed = replace(pulled, layers=tuple(replace(layer, source=never) for layer in pulled.layers))
    again = reference(place, "v2")
    of(again).push(closed.with_config({"User": "1"}), (again,), ignore)
    assert of(again).pull(again, "linux/amd64").settings == {"User": "1"}


def test_a_layer_may_come_before_its_image(place: str) -> None:
    """What was prepared is no image yet; the push that follows makes it one."""
    image, to = two_layers(), reference(place)
    registry = of(to)
    registry.prepare(image.layers[-1], to, ignore)
    with pytest.raises(RegistryError):
        of(to).resolve(to)
    assert str(registry.push(image, (to,), ignore)) == image.digest
    assert validate.find_image_problems(of(to).pull(to, "linux/amd64")) == ()


def test_progress_ends_at_the_total(place: str) -> None:
    """Bytes done never exceed the total, and end there."""
    image, to = two_layers(), reference(place)
    heard: list[Event] = []
    of(to).push(image, (to,), heard.append)
    seen = [event for event in heard if isinstance(event, Progress)]
    assert seen[-1].done == seen[-1].total == image.size
    assert all(event.done <= event.total for event in seen)


def test_what_is_not_there_is_one_clear_line(place: str) -> None:
    """A missing tag, a missing digest and an empty repository are RegistryErrors with status 404."""
    to = reference(place)
    for missing in (to, replace(to, tag="", digest="sha256:" + "0" * 64)):
        with pytest.raises(RegistryError) as refused:
            of(to).resolve(missing)
        assert refused.value.status == 404
        assert "\n" not in refused.value.message
    of(to).push(two_layers(), (to,), ignore)
    with pytest.raises(RegistryError):
        of(to).pull(reference(place, "other"), "linux/amd64")


def test_one_repository_at_a_time(place: str) -> None:
    """References of two repositories in one push are refused before anything is sent."""
    to = reference(place)
    with pytest.raises(RegistryError, match="one repository"):
        of(to).push(two_layers(), (to, replace(to, path=f"{to.path}/other")), ignore)
    with pytest.raises(RegistryError, match="one repository"):
        of(to).push(two_layers(), (), ignore)


def test_a_damaged_layer_is_not_taken(place: str) -> None:
    """An image whose layer has other bytes than its digest is refused, and no tag is written."""
    image, to = two_layers(), reference(place)
    top = image.layers[-1]
    wrong = handmade.packed([Entry(path="other", content=b"other")])
    lying = replace(image, layers=(*image.layers[:-1], replace(top, source=wrong.source)))
    with pytest.raises(RegistryError):
        of(to).push(lying, (to,), ignore)
    with pytest.raises(RegistryError):
        of(to).resolve(to)


def test_documents_and_blobs_come_back_as_they_are(place: str) -> None:
    """A manifest and an index by tag and by digest, a blob by its digest."""
    image, to = two_layers(), reference(place)
    of(to).push(image, (to,), ignore)
    entry = {"mediaType": image.media_type, "digest": image.digest, "size": len(image.manifest)}
    entry["platform"] = {"os": "linux", "architecture": "amd64"}
    index = codec.encode_canonical({"schemaVersion": 2, "mediaType": documents.INDEX, "manifests": [entry]})
    several = reference(place, "several")
    digest = str(of(several).push_index(index, (several,), ignore))
    assert of(to).document(to) == image.manifest
    assert of(to).document(several) == of(to).document(replace(several, tag="", digest=digest)) == index
    assert of(to).pull(several, "linux/amd64").digest == image.digest
    layer = image.layers[-1]
    blob = of(to).blob(to, layer.digest, layer.size)
    assert blob.read() == layer.open().read()
    blob.close()
