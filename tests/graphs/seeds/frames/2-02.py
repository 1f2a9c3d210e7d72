from dynamo.sdk import service

# (block)
class Example:
    pass

spec = Example.build_spec(".")
assert (spec.namespace, spec.workers, spec.dynamo) == ("dynamo", 1, True)
assert (spec.resources.gpu, spec.resources.cpu, spec.resources.memory) == ("2", "10", "20Gi")
