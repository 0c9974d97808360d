"""What pydantic finds wrong with a document, in one line for a person.

Names of fields may be any text that somebody wrote, line breaks too.
"""

from pydantic import ValidationError


def first_problem(error: ValidationError) -> str:
    """The first problem: `field: message`, or the message alone if it is of the whole document."""
    field, message = problem_parts(error)
    return f"{field}: {message}" if field else message


def problem_parts(error: ValidationError) -> tuple[str, str]:
    """Of the first problem: the field, as `regions.0.label`, empty for the whole; and the message."""
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    message = problem["msg"].removeprefix("Value error, ")
    return " ".join(".".join(map(str, problem["loc"])).split()), " ".join(message.split())
