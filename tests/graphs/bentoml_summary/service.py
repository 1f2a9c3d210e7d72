"""One service as BentoML's documents write it; nothing in it is ours."""

from __future__ import annotations

import bentoml
from pydantic import BaseModel, Field

with bentoml.importing():
    import re

EXAMPLE = "Rain fell all night. The river rose by a metre. By noon the bridge was closed."


class Wanted(BaseModel):
    text: str
    sentences: int = Field(default=1, ge=1)


class Summary(BaseModel):
    text: str
    kept: int
    share: float


@bentoml.service(
    name="summarization",
    resources={"cpu": "2", "memory": "512Mi"},
    traffic={"timeout": 30, "concurrency": 4},
    envs=[{"name": "SUMMARY_END", "value": "."}],
)
class Summarization:
    def __init__(self) -> None:
        self.sentence = re.compile(r"[^.]+\.")
        self.calls = 0

    @bentoml.on_startup
    def warm(self) -> None:
        self.ready = True

    @bentoml.on_shutdown
    async def close(self) -> None:
        self.ready = False

    @bentoml.api
    def summarize(self, text: str = EXAMPLE) -> str:
        return self.sentence.findall(text)[0].strip()

    @bentoml.api(route="/v1/summary")
    async def detailed(self, wanted: Wanted) -> Summary:
        found = [sentence.strip() for sentence in self.sentence.findall(wanted.text)]
        kept = " ".join(found[: wanted.sentences])
        return Summary(text=kept, kept=len(kept), share=round(len(kept) / len(wanted.text), 3))

    @bentoml.api
    def compare(self, first: str, second: str, ignore_case: bool = False) -> dict[str, int | bool]:
        if ignore_case:
            first, second = first.lower(), second.lower()
        return {"same": first == second, "length": len(first) + len(second)}

    @bentoml.api(batchable=True)
    def lengths(self, texts: list[str]) -> list[int]:
        return [len(text) for text in texts]

    @bentoml.api
    def state(self) -> dict[str, bool]:
        return {"ready": self.ready}
