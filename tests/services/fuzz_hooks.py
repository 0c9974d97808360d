"""Hooks of Schemathesis: valid requests that the service refuses, rightly, become ones that it takes.

An `Idempotency-Key` used again with another body becomes one of its own. Settings of a run that need one
another, which the schema does not state, are left out.
"""

import re
import uuid
from typing import Any

import schemathesis
from pydantic import ValidationError

from schemas.jobs import RunConfig

_KEY = "Idempotency-Key"
_VALID = re.compile(r"[\x21-\x7e]{1,255}")
_OF_RUNS = ("/v1/jobs", "/v1/plans")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Change a valid request that would be refused."""
    if case.meta is not None and not case.meta.generation.mode.is_positive:
        return
    if case.headers is not None and _VALID.fullmatch(str(case.headers.get(_KEY, ""))):
        case.headers[_KEY] = uuid.uuid4().hex
    if case.path in _OF_RUNS and isinstance(case.body, dict) and _breaks_a_rule(case.body):
        case.body = {name: case.body[name] for name in ("corpus", "out")}


def _breaks_a_rule(body: dict[str, Any]) -> bool:
    """Whether each setting is valid by itself, and all together are not."""
    try:
        RunConfig.model_validate(body)
    except ValidationError as error:
        return all(fault["loc"] == () for fault in error.errors())
    return False
