"""Two services over compiled wheels: `Frontend` checks what it is sent, `Statistics` counts with numpy."""

from __future__ import annotations

import numpy
from pydantic import BaseModel, Field

from dynamo.sdk import DYNAMO_IMAGE, api, depends, dynamo_endpoint, service


class Numbers(BaseModel):
    values: list[float] = Field(min_length=1)


class Summary(BaseModel):
    count: int
    mean: float
    deviation: float


@service(dynamo={"enabled": True, "namespace": "numbers"}, resources={"cpu": "1"}, image=DYNAMO_IMAGE)
class Statistics:
    """Mean and standard deviation."""

    def __init__(self, digits: int = 3) -> None:
        self.digits = digits

    @dynamo_endpoint()
    async def summarise(self, numbers: Numbers) -> Summary:
        values = numpy.asarray(numbers.values, dtype=numpy.float64)
        return Summary(
            count=values.size,
            mean=round(float(values.mean()), self.digits),
            deviation=round(float(values.std()), self.digits),
        )


@service(dynamo={"enabled": True, "namespace": "numbers"}, resources={"cpu": "1"}, image=DYNAMO_IMAGE)
class Frontend:
    """Answers HTTP: `POST /summarise` with `{"values": […]}`."""

    statistics = depends(Statistics)

    @api
    async def summarise(self, values: list[float]) -> Summary:
        return await self.statistics.summarise(Numbers(values=values))
