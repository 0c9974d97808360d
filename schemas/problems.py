"""What pydantic finds wrong with a document, in one line for a person.

Names of fields may be any text that somebody wrote, line breaks too.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

# Forms of settings, by their patterns, in words.
NUMBER_OR_RANGE = r"^[1-9]\d*(:[1-9]\d*)?$"
AUTO_OR_PIXELS = r"^(auto|[1-9]\d{1,4})$"
STRETCHES = r"^(none|minmax|\d{1,3}(\.\d+)?,\d{1,3}(\.\d+)?)$"
_FORMS = {
    NUMBER_OR_RANGE: "a number such as 4, or MIN:MAX such as 2:16",
    AUTO_OR_PIXELS: "auto, or a number of pixels from 10 to 99999",
    STRETCHES: "none, minmax, or two percentiles such as 2,98",
}


def first_problem(error: ValidationError) -> str:
    """The first problem: `field: message`, or the message alone if it is of the whole document."""
    field, message = problem_parts(error)
    return f"{field}: {message}" if field else message


def problem_of_written(error: ValidationError) -> str:
    """`first_problem` of a document that fo1-data wrote: no person misspelt a member that is not known."""
    unknown = _unknown_member(error)
    if unknown is None:
        return first_problem(error)
    return f"{unknown}: is not known to this release: use the newer fo1-data that wrote it"


def is_newer(error: ValidationError) -> bool:
    """Whether a document that fo1-data wrote has members that only a newer release knows."""
    return _unknown_member(error) is not None


def _unknown_member(error: ValidationError) -> str | None:
    problems = error.errors(include_url=False, include_input=False)
    unknown = (_field_of(problem["loc"]) for problem in problems if problem["type"] == "extra_forbidden")
    return next(unknown, None)


def _field_of(place: Iterable[int | str]) -> str:
    return " ".join(".".join(map(str, place)).split())


def problem_parts(error: ValidationError) -> tuple[str, str]:
    """Of the first problem: the field, as `regions.0.label`, empty for the whole; and the message."""
    problem = error.errors(include_url=False, include_input=False)[0]
    return _field_of(problem["loc"]), " ".join(message_of(problem).split())


def message_of(problem: Mapping[str, Any]) -> str:
    """One of pydantic's problems for the person who wrote the document, without the field and the value."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        return "is not known here: check how it is written"
    if kind == "string_pattern_mismatch" and context.get("pattern") in _FORMS:
        return f"must be {_FORMS[context['pattern']]}"
    message: str = problem["msg"]
    return message.removeprefix("Value error, ")
