from dynamo.sdk import service

# (block)
class Worker:
    pass

found = Worker.build_spec(".").resources
assert (found.cpu, found.memory, found.gpu) == ("10", "20Gi", "1")
