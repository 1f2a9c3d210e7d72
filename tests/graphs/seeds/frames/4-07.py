from pydantic import BaseModel

from dynamo.sdk import DYNAMO_IMAGE, RemoteError, dynamo_endpoint, service

class PrefillRequest(BaseModel):
    prompt: str

class DecodeRequest(BaseModel):
    block: int

# (block)

runtime = await running(PrefillWorker, DecodeWorker)
prefill = await runtime.namespace("dynamo").component("PrefillWorker").endpoint("prefill").client()
decode = await runtime.namespace("dynamo").component("DecodeWorker").endpoint("decode").client()
assert (await prefill.generate(PrefillRequest(prompt="a"))).data() is None
assert (await decode.generate(DecodeRequest(block=1))).data() is None
try:
    await decode.generate({"block": "none"})
except RemoteError as error:
    assert error.code == "bad_request"
else:
    raise AssertionError("a request of the wrong type was taken")
