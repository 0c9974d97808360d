"""Arranges the OpenAPI document for the page that shows it. Pure functions."""

from typing import Any


def documented_operations(document: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return operations by tag, in the document's order, with their parameters and fields of the body."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            entry = {
                "method": method,
                "path": path,
                "operationId": operation["operationId"],
                "description": operation.get("description", operation.get("summary", "")),
                "parameters": operation.get("parameters", []),
                "body": _body(document, operation),
            }
            groups.setdefault((operation.get("tags") or ["other"])[0], []).append(entry)
    return list(groups.items())


def _body(document: dict[str, Any], operation: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = _resolved(document, content.get("schema", {}))
    required = schema.get("required", [])
    return [
        (
            name,
            {
                "required": name in required,
                "kind": _kind(document, field),
                "default": field.get("default"),
            },
        )
        for name, field in schema.get("properties", {}).items()
    ]


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    resolved: dict[str, Any] = document["components"]["schemas"][reference.rpartition("/")[2]]
    return resolved


def _kind(document: dict[str, Any], field: dict[str, Any]) -> str:
    field = _resolved(document, field)
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "anyOf" in field:
        kinds = [_kind(document, option) for option in field["anyOf"]]
        return " or ".join(kind for kind in kinds if kind != "null")
    if field.get("type") == "array":
        return f"list of {_kind(document, field.get('items', {}))}"
    return str(field.get("type", "any"))
