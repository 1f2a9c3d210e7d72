"""A load generator for anything that speaks OpenAI's API: `python -m dynamo.bench`."""
