"""The page itself, and the policy under which a browser runs it: what it holds, and nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from html import escape

from dynamo.sdk.graph import ServiceGraph
from dynamo_build.graph.drawing.svg import STYLE, svg
from dynamo_build.system.templating import render, templates_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """What the template is rendered with; everything is HTML already."""

    title: str
    picture: str
    style: str
    script: str


def page(graph: ServiceGraph) -> tuple[bytes, str]:
    """The page of a graph, and its Content-Security-Policy.

    Source: W3C Content Security Policy Level 3, hashes of inline scripts and styles.
    """
    style = (templates_folder() / "dashboard.css").read_text() + STYLE
    script = (templates_folder() / "dashboard.js").read_text()
    picture = svg(graph).replace(f"<style>{STYLE}</style>\n", "")
    dashboard = Dashboard(title=escape(graph.target), picture=picture, style=style, script=script)
    policy = (
        f"default-src 'none'; style-src 'sha256-{_digest(style)}'; script-src 'sha256-{_digest(script)}'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return render("dashboard.html.j2", dashboard=dashboard).encode(), policy


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
