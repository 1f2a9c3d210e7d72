"""Coordination over NATS. With `dynamo.rpc.nats`, the one door to the NATS client."""
