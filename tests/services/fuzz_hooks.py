"""Hooks of Schemathesis. An `Idempotency-Key` used again with another body is refused (422), rightly: so each
valid key that is drawn becomes one of its own.
"""

import re
import uuid
from typing import Any

import schemathesis

_KEY = "Idempotency-Key"
_VALID = re.compile(r"[\x21-\x7e]{1,255}")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Replace a valid key of a valid request by a new one."""
    is_valid_case = case.meta is None or case.meta.generation.mode.is_positive
    if is_valid_case and case.headers is not None and _VALID.fullmatch(str(case.headers.get(_KEY, ""))):
        case.headers[_KEY] = uuid.uuid4().hex
