"""Commands of `dynamo image`."""
