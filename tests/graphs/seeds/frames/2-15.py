import json
import os
from typing import Optional

class DynamoService:
    # (block)

given = {"MyService": {"ServiceArgs": {"workers": 4}}, "Other": {}}
os.environ["DYNAMO_SERVICE_CONFIG"] = json.dumps(given)
assert DynamoService()._get_service_args("MyService") == {"workers": 4}
assert DynamoService()._get_service_args("Other") is None
del os.environ["DYNAMO_SERVICE_CONFIG"]
assert DynamoService()._get_service_args("MyService") is None
