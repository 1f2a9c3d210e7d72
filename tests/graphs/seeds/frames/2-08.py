from dynamo.sdk import service

# (block)

spec = MyService.build_spec(".")
assert (spec.namespace, spec.workers, spec.resources.gpu) == ("prod", 2, "2")
assert {item.name: item.default for item in spec.parameters} == {
    "model_name": "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B",
    "temperature": 0.7,
}
