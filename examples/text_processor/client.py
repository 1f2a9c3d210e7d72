"""Calls the worker from outside any graph, by its address alone."""

import asyncio

from pydantic import BaseModel

from dynamo.sdk import get_runtime


class RequestType(BaseModel):
    text: str


async def call_text_processor() -> None:
    runtime = await get_runtime()
    client = await runtime.namespace("demo").component("TextProcessor").endpoint("generate").client()
    response = await client.generate(RequestType(text="Hello, Dynamo!"))
    print(f"Response: {response.text}")


if __name__ == "__main__":
    asyncio.run(call_text_processor())
