"""A graph's endpoints as documents."""

from __future__ import annotations

from dataclasses import replace

from dynamo_build.graph import apis
from support.projects import FRONTEND, GRAPH


def test_openapi_of_the_routes() -> None:
    """A route has its request's schema; definitions become components."""
    endpoint = replace(
        FRONTEND.endpoints[0],
        request_schema={
            "$defs": {"A": {"type": "string"}},
            "properties": {"a": {"$ref": "#/$defs/A"}},
            "type": "object",
        },
    )
    graph = replace(GRAPH, services=(replace(FRONTEND, endpoints=(endpoint,)),))
    document = apis.build_openapi(graph, "frontend", "a1")
    body = document["paths"]["/generate"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["a"] == {"$ref": "#/components/schemas/A"}
    assert document["components"]["schemas"] == {"A": {"type": "string"}}
    assert apis.describe_endpoints(graph)["services"]["Frontend"]["endpoints"]["generate"]["transport"] == "http"


def test_a_get_route_takes_query_parameters() -> None:
    """Members of the request are parameters, the required ones marked."""
    endpoint = replace(FRONTEND.endpoints[0], http_method="GET")
    graph = replace(GRAPH, services=(replace(FRONTEND, endpoints=(endpoint,)),))
    operation = apis.build_openapi(graph, "f", "1")["paths"]["/generate"]["get"]
    assert operation["parameters"] == [{"name": "text", "in": "query", "required": True, "schema": {"type": "string"}}]
