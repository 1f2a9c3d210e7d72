"""Two services, one depending on the other, as BentoML's documents write them; nothing in it is ours."""

from collections.abc import AsyncGenerator, Generator

import bentoml
from bentoml.exceptions import NotFound
from pydantic import BaseModel

image = bentoml.images.Image(python_version="3.11").python_packages("annotated-types", "pydantic")


class Word(BaseModel):
    word: str
    length: int


@bentoml.service(resources={"cpu": "1"}, workers=1, image=image)
class Tokenizer:
    @bentoml.api
    def split(self, text: str, lower: bool = False) -> list[str]:
        return (text.lower() if lower else text).split()

    @bentoml.api
    async def count(self, words: list[str]) -> int:
        return len(words)

    @bentoml.api
    def longest(self, words: list[str], at_least: int = 1) -> Word:
        found = max((word for word in words if len(word) >= at_least), key=len)
        return Word(word=found, length=len(found))

    @bentoml.api
    def spell(self, word: str) -> Generator[str, None, None]:
        yield from word

    @bentoml.api
    async def echo(self, word: str, times: int = 2) -> AsyncGenerator[str, None]:
        for _ in range(times):
            yield f"{word} "


@bentoml.service(resources={"cpu": "1"}, traffic={"timeout": 20})
class Generation:
    tokenizer = bentoml.depends(Tokenizer)

    @bentoml.api
    def words(self, text: str) -> dict[str, int]:
        words = self.tokenizer.split(text, lower=True)
        return {word: words.count(word) for word in sorted(set(words))}

    @bentoml.api
    async def total(self, text: str) -> int:
        words = await self.tokenizer.to_async.split(text=text)
        return await self.tokenizer.count(words)

    @bentoml.api
    async def generate(self, prompt: str = "one two", max_tokens: int = 2) -> AsyncGenerator[str, None]:
        for word in await self.tokenizer.to_async.split(prompt):
            async for piece in self.tokenizer.echo(word, times=max_tokens):
                yield piece

    @bentoml.api
    def spelled(self, word: str) -> Generator[str, None, None]:
        for letter in self.tokenizer.spell(word):
            yield letter.upper()

    @bentoml.api
    def best(self, text: str) -> Word:
        found = self.tokenizer.longest(self.tokenizer.split(text), at_least=2)
        return Word(word=found.word, length=found.length)

    @bentoml.api
    def refused(self) -> str:
        raise NotFound("no such text")
