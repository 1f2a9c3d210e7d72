from dynamo.sdk.lib.config import ServiceConfig as Configuration

# (block)

Configuration.set_instance({"MyService": {"api_key": "k", "temperature": 0.9}})
made_of = MyService()
assert (made_of.api_key, made_of.temperature) == ("k", 0.9)
assert made_of.model_name == "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"
Configuration.set_instance({"MyService": {}})
try:
    MyService()
except ValueError as error:
    assert "`MyService.api_key`" in str(error)
else:
    raise AssertionError("a missing key was not refused")
Configuration.set_instance(None)
