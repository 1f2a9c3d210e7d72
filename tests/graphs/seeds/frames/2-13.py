import argparse
import types

from dynamo.sdk.lib.config import ServiceConfig

class FlexibleArgumentParser(argparse.ArgumentParser):
    """As vLLM's: `_` and `-` are the same in a flag."""

    def parse_args(self, arguments):
        return super().parse_args([a.replace("_", "-") if a.startswith("--") else a for a in arguments])

class AsyncEngineArgs(types.SimpleNamespace):
    @staticmethod
    def add_cli_args(parser):
        parser.add_argument("--model")
        parser.add_argument("--max-model-len", type=int)
        parser.add_argument("--enable-prefix-caching", action=argparse.BooleanOptionalAction, default=True)
        return parser

    @classmethod
    def from_cli_args(cls, args):
        return cls(model=args.model, max_model_len=args.max_model_len, prefix=args.enable_prefix_caching)

common = {"model": "m", "max_model_len": 16384}
own = {"common-configs": ["model", "max_model_len"], "remote-prefill": True, "router": "kv", "enable-prefix-caching": False}
ServiceConfig.set_instance({"Common": common, "VllmWorker": own})

# (block)

found = parse_vllm_args("VllmWorker", "")
assert (found.model, found.max_model_len, found.prefix) == ("m", 16384, False)
assert (found.router, found.remote_prefill) == ("kv", True)
ServiceConfig.set_instance(None)
