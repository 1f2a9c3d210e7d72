from collections.abc import AsyncIterator

from pydantic import BaseModel

from dynamo.sdk import DYNAMO_IMAGE, dynamo_endpoint, service

class RequestType(BaseModel):
    text: str

class ResponseType(BaseModel):
    text: str

# (block)

spec = YourWorker.build_spec(".")
assert (spec.namespace, spec.name, spec.endpoints[0].name) == ("your_namespace", "YourWorker", "your_endpoint")
