"""Registers the model and starts the HTTP ingress."""

from components.processor import Processor
from components.worker import VllmWorker
from fastapi import FastAPI
from pydantic import BaseModel

from dynamo.sdk import DYNAMO_IMAGE, depends, service
from dynamo.sdk.lib.config import ServiceConfig


class FrontendConfig(BaseModel):
    served_model_name: str
    endpoint: str
    port: int = 8080


@service(
    dynamo={"enabled": True, "namespace": "dynamo"},
    resources={"cpu": "10", "memory": "20Gi"},
    workers=1,
    image=DYNAMO_IMAGE,
    app=FastAPI(title="LLM Example"),
)
class Frontend:
    worker = depends(VllmWorker)
    processor = depends(Processor)

    def __init__(self):
        self.config = FrontendConfig(**ServiceConfig.get_instance().get("Frontend", {}))
