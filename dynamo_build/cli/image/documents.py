"""The commands of `dynamo image` for what goes with an image: documents about it, and signatures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dynamo_build.cli import console
from dynamo_build.cli.image.options import ForPlatform, Insecure, Reference, pulled
from dynamo_build.cli.options import OutputForm, checked_output

if TYPE_CHECKING:
    from dynamo_build.model.reference import ImageReference
    from dynamo_build.oci.image import OciImage
    from dynamo_build.seams import Surroundings

Key = Annotated[str, typer.Option("--key", metavar="FILE", help="PEM file of a key over P-256.")]


def sbom(
    reference: Reference,
    form: Annotated[
        str, typer.Option("--format", metavar="cyclonedx|spdx", help="Form of the document.")
    ] = "cyclonedx",
    attach: Annotated[bool, typer.Option("--attach", help="Put it beside the image, as an OCI referrer.")] = False,
    platform: ForPlatform = "",
    insecure: Insecure = None,
) -> None:
    """Write the bill of materials of an image: the packages in its layers, and those that its base says it has.

    Example: dynamo image sbom registry.example/team/frontend:1 --format spdx --attach
    """
    from dynamo_build.image.attestations import materials
    from dynamo_build.image.report import report

    around, named, image = pulled(reference, platform, insecure)
    kind, document = materials(form, image, report(image, str(named)))
    _given(around, named, image, document, kind, "sbom" if form == "cyclonedx" else "spdx", attach=attach)


def provenance(
    reference: Reference,
    attach: Annotated[bool, typer.Option("--attach", help="Put it beside the image, as an OCI referrer.")] = False,
    platform: ForPlatform = "",
    insecure: Insecure = None,
) -> None:
    """Write how an image was made, in SLSA's form: bento, base, packages, compressor.

    Example: dynamo image provenance registry.example/team/frontend:1 --attach
    """
    from dynamo_build.image.attestations import IN_TOTO
    from dynamo_build.image.attestations import provenance as stated
    from dynamo_build.image.report import report

    around, named, image = pulled(reference, platform, insecure)
    document = stated(image, report(image, str(named)))
    _given(around, named, image, document, IN_TOTO, "att", attach=attach)


def sign(reference: Reference, key: Key, insecure: Insecure = None, output: OutputForm = "text") -> None:
    """Sign an image with a local key, in cosign's format. DYNAMO_KEY_PASSWORD is the key's password, if it has one.

    Example: dynamo image sign registry.example/team/frontend:1 --key key.pem
    """
    import os

    from dynamo_build import catalog
    from dynamo_build.image import signatures
    from dynamo_build.model.reference import ImageReference

    checked_output(output)
    named = ImageReference.parse(reference)
    around = catalog.surroundings(insecure=tuple(insecure or ()))
    password = os.environ.get("DYNAMO_KEY_PASSWORD", "")
    digest, where = signatures.sign(named, Path(key), around.registry(named), password)
    console.emit({"digest": digest, "signature": where}, output, text=f"{digest}\n{where}", name=where)


def verify(reference: Reference, key: Key, insecure: Insecure = None, output: OutputForm = "text") -> None:
    """Check that an image was signed by the owner of a public key; ends with 13 when it was not.

    Example: dynamo image verify registry.example/team/frontend:1 --key key.pub
    """
    from dynamo_build import catalog
    from dynamo_build.image import signatures
    from dynamo_build.model.reference import ImageReference

    checked_output(output)
    named = ImageReference.parse(reference)
    around = catalog.surroundings(insecure=tuple(insecure or ()))
    digest = signatures.verify(named, Path(key), around.registry(named))
    exact = str(named if named.folder else named.with_digest(digest))
    console.emit({"reference": exact, "digest": digest}, output, text=f"{exact} is signed", name=exact)


def _given(
    around: Surroundings,
    named: ImageReference,
    image: OciImage,
    document: dict[str, object],
    kind: str,
    suffix: str,
    *,
    attach: bool,
) -> None:
    from dataclasses import replace

    from dynamo.sdk import codec
    from dynamo_build.image.attestations import canonical
    from dynamo_build.image.referrers import attach as put

    if not attach:
        print(codec.pretty(document))
        return
    subject = replace(named, digest=image.digest)
    print(put(subject, canonical(document), kind, suffix, around.registry(named), console.listener()))
