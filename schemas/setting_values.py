"""Types of settings that are written as text: lists by commas, numbers beside words."""

from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator

from schemas.labels import LabelKind


def _split_commas(value: object) -> object:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _none_is_empty(value: object) -> object:
    return [] if value == "none" else _split_commas(value)


class SecondQuestion(StrEnum):
    """A follow-up question about a label that looks unsure.

    `ASK_BACK`: does the caption find its region again? `ABSENCE`: is the phrase in the image at all?
    `BLIND`: how likely is the caption without sight of its region?
    """

    ASK_BACK = "ask_back"
    ABSENCE = "absence"
    BLIND = "blind"


class OpinionView(StrEnum):
    """What a second model is shown of a region: a crop of it, or the whole image and its box in numbers."""

    CROP = "crop"
    BOX = "box"


Bands = Annotated[list[int], BeforeValidator(_split_commas)]
Words = Annotated[list[str], BeforeValidator(_split_commas)]
Actors = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]
TilePx = Annotated[str | None, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]
Kinds = Annotated[list[LabelKind], BeforeValidator(_split_commas)]
SecondQuestions = Annotated[list[SecondQuestion], BeforeValidator(_none_is_empty)]
