from dynamo.sdk import service
from dynamo.sdk.lib.config import ServiceConfig

# (block)

assert LLMService.build_spec(".").namespace == "default"
instance = LLMService()
assert (instance.model_name, instance.temperature, instance.max_tokens) == ("gpt-2", 0.7, 1024)
assert (instance.cache_size, instance.use_kv_cache) == (1000, True)
