"""OpenAI's API over HTTP."""

from components.processor import Processor
from components.worker import VllmWorker

from dynamo.http.openai.frontend import OpenAIFrontend
from dynamo.sdk import DYNAMO_IMAGE, depends, service


@service(
    dynamo={"enabled": True, "namespace": "dynamo"},
    resources={"cpu": "2", "memory": "1Gi"},
    workers=1,
    image=DYNAMO_IMAGE,
)
class Frontend(OpenAIFrontend):
    """Offers one model; further ones are registered with `llmctl http add`."""

    worker = depends(VllmWorker)
    processor = depends(Processor)

    def __init__(self, served_model_name: str = "smollm2", endpoint: str = "dynamo.Processor.chat/completions") -> None:
        completions = endpoint.removesuffix("chat/completions") + "completions"
        self.models = [("chat", served_model_name, endpoint), ("completion", served_model_name, completions)]
