"""The runtime inside an image. `DISTRIBUTION` tells this package from others that own a `dynamo` folder."""

DISTRIBUTION = "dynamo-runtime"
__version__ = "0.1.0"
