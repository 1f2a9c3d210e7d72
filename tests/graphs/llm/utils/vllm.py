"""Arguments of the engine from the configuration of a service."""

from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.utils import FlexibleArgumentParser

from dynamo.sdk.lib.config import ServiceConfig


def parse_vllm_args(service_name, prefix) -> AsyncEngineArgs:
    config = ServiceConfig.get_instance()
    parser = FlexibleArgumentParser()
    parser.add_argument("--router", type=str, choices=["random", "round-robin", "kv"], default="random")
    parser = AsyncEngineArgs.add_cli_args(parser)
    return AsyncEngineArgs.from_cli_args(parser.parse_args(config.as_args(service_name, prefix=prefix)))
