"""Push one OCI image layout to a plain registry with nothing of ours, so that tests start from a known image."""

from __future__ import annotations

import http.client
import json
import sys
from pathlib import Path


def push(layout: Path, registry: str, repository: str, tag: str) -> str:
    """Send the first image of the layout, and give its digest."""
    connection = http.client.HTTPConnection(registry, timeout=60)

    def call(method: str, path: str, body: object = None, **headers: str) -> http.client.HTTPResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)  # type: ignore[arg-type]
        response = connection.getresponse()
        response.body = response.read()  # type: ignore[attr-defined]
        return response

    def blob(digest: str) -> Path:
        return layout / "blobs" / digest.replace(":", "/")

    entry = json.loads((layout / "index.json").read_text())["manifests"][0]
    manifest = blob(entry["digest"]).read_bytes()
    for item in [*json.loads(manifest)["layers"], json.loads(manifest)["config"]]:
        if call("HEAD", f"/v2/{repository}/blobs/{item['digest']}").status == 200:
            continue
        location = call("POST", f"/v2/{repository}/blobs/uploads/").headers["Location"].split(registry, 1)[-1]
        target = f"{location}{'&' if '?' in location else '?'}digest={item['digest']}"
        with blob(item["digest"]).open("rb") as stream:
            kind = "application/octet-stream"
            sent = call("PUT", target, stream, Content_Length=str(item["size"]), Content_Type=kind)
        assert sent.status == 201, sent.body  # type: ignore[attr-defined]
    sent = call("PUT", f"/v2/{repository}/manifests/{tag}", manifest, Content_Type=entry["mediaType"])
    assert sent.status == 201, sent.body  # type: ignore[attr-defined]
    return str(entry["digest"])


if __name__ == "__main__":
    folder, host, name = sys.argv[1:4]
    print(f"stack: {name} is {push(Path(folder), host, *name.split(':'))}")
