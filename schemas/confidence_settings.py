"""The settings of a run that say how doubtful labels are found out, and which of them people see."""

from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from schemas.setting_marks import Setting, SettingGroup
from schemas.setting_values import OpinionView, SecondQuestion, SecondQuestions

_REVIEW = Setting(SettingGroup.REVIEW)


class ConfidenceSettings(BaseModel):
    """Follow-up questions, confidence and the choice for review.

    Raises ValidationError where a setting lacks the one that it belongs to.
    """

    second_questions: Annotated[SecondQuestions, _REVIEW] = Field(
        default=[SecondQuestion.ASK_BACK, SecondQuestion.ABSENCE],
        description="Follow-up questions about unsure labels, or `none`. `ask_back`: does the caption find "
        "its region again? `absence`: is the phrase in the image at all? `blind`: how likely is the caption "
        "without sight of its region?",
    )
    unsure_below: Annotated[float, _REVIEW] = Field(
        default=0.95,
        ge=0,
        le=1,
        description="A label is unsure, and second questions are asked about it, if the probability of its "
        "least sure part is below this. 0: never, 1: always.",
    )
    second_opinion: Annotated[str | None, _REVIEW] = Field(
        default=None,
        description="Another vision-language model that is asked about the regions of unsure labels: the "
        "folder or hub id of a checkpoint that transformers or this project loads, or the address of an "
        "OpenAI-compatible server, `http://HOST/v1#MODEL`, which is sent crops of the images (its key: "
        "FO1_SECOND_OPINION_KEY). How far it agrees is a signal of the label. Default: none.",
    )
    second_opinion_view: Annotated[OpinionView, _REVIEW] = Field(
        default=OpinionView.CROP,
        description="What that model is shown of a region: a `crop` of it, or the whole image and its `box` "
        "in numbers, which checkpoints of Qwen2.5-VL (pixels of the image as they see it) and Qwen3-VL "
        "(thousandths) were taught to read. A VLM-FO1 checkpoint is asked by region tokens, a server always "
        "about a crop.",
    )
    calibration: Annotated[str | None, _REVIEW] = Field(
        default=None,
        description="Calibration file made by `fo1 calibrate`. Default: none, so labels get no confidence.",
    )
    max_error: Annotated[float | None, _REVIEW] = Field(
        default=None,
        gt=0,
        lt=1,
        description="Highest share of wrong labels among the accepted ones. Needs `calibration`. "
        "Default: none, no error is promised.",
    )
    confidence_level: Annotated[float, _REVIEW] = Field(
        default=0.9, gt=0, lt=1, description="Probability with which `max_error` holds."
    )
    review_budget: Annotated[float | None, _REVIEW] = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="Labels that people can review: a number, or below 1 a share of all labels. "
        "Default: no limit.",
    )
    audit: Annotated[float, _REVIEW] = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the accepted labels that is drawn for review, to measure their true error.",
    )
    whole_images: Annotated[bool, _REVIEW] = Field(
        default=False,
        description="Review budget and audit are of whole images, as people open them: the budget is a "
        "number or share of images, and all labels of an image are drawn together. Off: of single labels, "
        "for `fo1 review push --asked-only`.",
    )
    seed: Annotated[int, _REVIEW] = Field(default=0, description="Seed of every random draw.")
    force: Annotated[bool, Setting(SettingGroup.REVIEW, changes_rows=False)] = Field(
        default=False,
        description="Use a calibration made for another model, proposer or wording of the questions, "
        "with a warning.",
    )

    @model_validator(mode="after")
    def _belong_to_something(self) -> Self:
        if self.second_opinion_view is OpinionView.BOX and self.second_opinion is None:
            raise ValueError("second_opinion_view needs a second_opinion")
        if self.max_error is not None and self.calibration is None:
            raise ValueError("max_error needs a calibration (a file made by fo1 calibrate)")
        return self
