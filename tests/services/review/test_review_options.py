"""The options of a review: stored as before, read in every stored form, unknown ones refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.corrections import Lane
from schemas.reviews import ReviewOptions


@pytest.mark.parametrize(
    ("stored", "options"),
    [
        ({}, ReviewOptions()),
        (
            {"lanes": ["audit"], "limit": None, "annotators": 2},
            ReviewOptions(lanes=[Lane.AUDIT], annotators=2),
        ),
        ({"limit": 4, "blind": True, "live": False}, ReviewOptions(limit=4, blind=True, live=False)),
    ],
)
def test_options_stored_by_older_versions_are_read(stored: dict[str, Any], options: ReviewOptions) -> None:
    assert ReviewOptions.model_validate(stored) == options
    assert ReviewOptions.model_validate(options.stored()) == options


def test_options_nobody_chose_are_not_stored() -> None:
    assert ReviewOptions().stored() == {
        "lanes": ["review", "audit"],
        "limit": None,
        "annotators": 1,
        "asked_only": False,
    }
    assert ReviewOptions(live=False).stored()["live"] is False


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValidationError, match="annotator\n"):
        ReviewOptions.model_validate({"annotator": 2})
