"""An HTTP service that speaks as OpenAI's does, in front of any worker that was registered as a model."""
