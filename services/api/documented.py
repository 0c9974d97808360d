"""What FastAPI does not know of the OpenAPI document: the errors of all operations, and stored documents."""

from typing import Any

from schemas.dataset import Manifest
from services.problems import MEDIA_TYPE, ProblemDocument


def problem_answer(description: str) -> dict[str, Any]:
    """Return the entry of an error in an operation's `responses`."""
    return {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
    }


NOT_FOUND: dict[int | str, Any] = {404: problem_answer("Nothing has this id.")}
CONFLICT: dict[int | str, Any] = {409: problem_answer("The current state does not allow it.")}
EVERYWHERE: dict[str, Any] = {
    "400": problem_answer("The body cannot be read."),
    "401": problem_answer("No valid key."),
    "403": problem_answer("The key lacks the scope, or the place is outside the storage roots."),
    "404": problem_answer("Nothing is there."),
    "413": problem_answer("The body is too large."),
    "422": problem_answer("The request is not valid; `errors` says why."),
    "429": problem_answer("Too many wrong keys."),
    "500": problem_answer("An unexpected error."),
    "503": problem_answer("A store or the database cannot be reached at the moment."),
}


def complete_openapi(document: dict[str, Any]) -> dict[str, Any]:
    """Add the errors that every operation can answer with, as problem documents, and the manifest."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["ProblemDocument"] = ProblemDocument.model_json_schema()
    manifest = Manifest.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= manifest.pop("$defs") | {"Manifest": manifest}
    schemas["DatasetDetail"]["properties"]["manifest"] = {"$ref": "#/components/schemas/Manifest"}
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for path, operations in document.get("paths", {}).items():
        for operation in operations.values():
            responses = operation.setdefault("responses", {})
            responses.pop("422", None)
            errors = EVERYWHERE if path.startswith(("/v1", "/ml")) else {"422": EVERYWHERE["422"]}
            for status, answer in errors.items():
                responses.setdefault(status, answer)
    return document
