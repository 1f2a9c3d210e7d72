"""The commands of `dynamo image` for attached documents and signatures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dynamo_build.cli import console
from dynamo_build.cli.image.options import ForPlatform, Insecure, Reference, find_surroundings
from dynamo_build.cli.options import OutputForm, check_output

if TYPE_CHECKING:
    from dynamo_build.pipeline.images import Described

Key = Annotated[str, typer.Option("--key", metavar="FILE", help="PEM file of a P-256 key.")]


def sbom(
    reference: Reference,
    form: Annotated[
        str, typer.Option("--format", metavar="cyclonedx|spdx", help="Form of the document.")
    ] = "cyclonedx",
    attach: Annotated[bool, typer.Option("--attach", help="Attach it to the image, as an OCI referrer.")] = False,
    platform: ForPlatform = "",
    insecure: Insecure = None,
) -> None:
    """Write the bill of materials of an image: the packages in its layers and those its base declares.

    Example: dynamo image sbom registry.example/team/frontend:1 --format spdx --attach
    """
    from dynamo_build.pipeline.images import describe_materials

    _write_document(describe_materials(reference, form, platform, find_surroundings(insecure)), attach=attach)


def provenance(
    reference: Reference,
    attach: Annotated[bool, typer.Option("--attach", help="Attach it to the image, as an OCI referrer.")] = False,
    platform: ForPlatform = "",
    insecure: Insecure = None,
) -> None:
    """Write the provenance of an image as a SLSA statement: bento, base, packages and compressor.

    Example: dynamo image provenance registry.example/team/frontend:1 --attach
    """
    from dynamo_build.pipeline.images import describe_provenance

    _write_document(describe_provenance(reference, platform, find_surroundings(insecure)), attach=attach)


def sign(reference: Reference, key: Key, insecure: Insecure = None, output: OutputForm = "text") -> None:
    """Sign an image with a local key, in cosign's format. DYNAMO_KEY_PASSWORD is the password of an encrypted key.

    Example: dynamo image sign registry.example/team/frontend:1 --key key.pem
    """
    import os

    from dynamo_build.pipeline.images import sign_image

    check_output(output)
    password = os.environ.get("DYNAMO_KEY_PASSWORD", "")
    digest, signature = sign_image(reference, Path(key), password, find_surroundings(insecure))
    console.print_result(
        {"digest": digest, "signature": signature}, output, text=f"{digest}\n{signature}", name=signature
    )


def verify(reference: Reference, key: Key, insecure: Insecure = None, output: OutputForm = "text") -> None:
    """Check that an image was signed with the private key of a public key. Exit code 13 if it was not.

    Example: dynamo image verify registry.example/team/frontend:1 --key key.pub
    """
    from dynamo_build.pipeline.images import verify_image

    check_output(output)
    verified = verify_image(reference, Path(key), find_surroundings(insecure))
    console.print_result(verified, output, text=f"{verified.reference} is signed", name=verified.reference)


def _write_document(document: Described, *, attach: bool) -> None:
    from dynamo.sdk import codec
    from dynamo_build.pipeline.images import attach_document

    print(attach_document(document, console.create_listener()) if attach else codec.encode_pretty(document.content))
