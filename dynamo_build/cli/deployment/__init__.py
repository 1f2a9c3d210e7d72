"""The commands of `dynamo deployment`."""
