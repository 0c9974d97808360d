"""The calibration file: how signals become a confidence, and on what evidence labels may be accepted.

All values are plain numbers, so that a confidence can be computed from the file alone, without the library
that fitted it. A *score* is log odds before the map; a *confidence* is the probability, 0 to 1, that a
label is right. Each class describes its numbers. The validators check that the numbers fit together, so
that a file that was edited by hand is refused before labelling starts.
"""

from collections.abc import Sized
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.labels import LabelKind

CALIBRATION_VERSION = 1
Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


def _must_be_as_long(**lists: Sized) -> None:
    if len({len(values) for values in lists.values()}) > 1:
        lengths = ", ".join(f"{name} {len(values)}" for name, values in lists.items())
        raise ValueError(f"lists must be equally long: {lengths}")


def _must_rise(**lists: list[float]) -> None:
    for name, values in lists.items():
        if any(low > high for low, high in pairwise(values)):
            raise ValueError(f"{name} must rise")


class SignalColumn(BaseModel):
    """One signal as the model takes it: two columns of a value clipped to `low`..`high`.

    The first is (value - mean) / deviation, the second the value's rank as a standard normal number: the
    interpolation between the points (`knots`, `ranks`), flat beyond the ends; so values at both ends of a
    skewed signal differ. `fill` stands in for a missing value. `indicator`: a further column, 1 where it
    was missing. `usual_low`, `usual_high`: the 10th and 90th percentile over right labels, for reasons. All
    but `ranks` are in the unit of the signal (`fo1_data/confidence/signals.py`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str
    fill: float
    mean: float
    deviation: float = Field(gt=0)
    low: float
    high: float
    knots: list[float] = Field(min_length=1)
    ranks: list[float]
    indicator: bool = False
    usual_low: float
    usual_high: float

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _must_be_as_long(knots=self.knots, ranks=self.ranks)
        _must_rise(knots=self.knots, ranks=self.ranks)
        return self


class LogisticModel(BaseModel):
    """score = intercept + weights . columns: values, then ranks, then indicators, in order of signals."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    family: Literal["logistic"] = "logistic"
    intercept: float
    weights: list[float]


class Tree(BaseModel):
    """A binary tree by node number: go `left` where column `feature` is at most `threshold`.

    A leaf has `feature` -1; `value` is what it adds to the score. A node's children come after it.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    feature: list[int]
    threshold: list[float]
    left: list[int]
    right: list[int]
    value: list[float] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _must_be_as_long(
            feature=self.feature, threshold=self.threshold, left=self.left, right=self.right, value=self.value
        )
        for node, feature in enumerate(self.feature):
            children = (self.left[node], self.right[node])
            if feature >= 0 and not all(node < child < len(self.feature) for child in children):
                raise ValueError(f"node {node} of a tree leads to {children}: children come after a node")
        return self


class BoostedTrees(BaseModel):
    """score = intercept + weights . columns + the sum of the trees."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    family: Literal["boosted_trees"] = "boosted_trees"
    intercept: float
    weights: list[float]
    trees: list[Tree]


class ConstantModel(BaseModel):
    """Every label has the same score: gold had only right or only wrong labels, or was too small."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    family: Literal["constant"] = "constant"
    intercept: float


Model = Annotated[LogisticModel | BoostedTrees | ConstantModel, Field(discriminator="family")]


class ConfidenceMap(BaseModel):
    """confidence = platt_share x sigmoid(slope x score + intercept) + (1 - platt_share) x interpolation.

    The interpolation is between the points (`scores`, `confidences`), both rising, flat beyond the ends.
    With the slope above 0 and the share above 0 the map rises strictly: labels keep their order.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    slope: float = Field(gt=0)
    intercept: float
    platt_share: float = Field(gt=0, le=1)
    scores: list[float] = []
    confidences: list[Probability] = []

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _must_be_as_long(scores=self.scores, confidences=self.confidences)
        _must_rise(scores=self.scores, confidences=self.confidences)
        return self


class JudgedLabels(BaseModel):
    """Judged labels, as parallel lists: the number of their image, confidence, and whether they are wrong.

    `place`: how many labels of the same kind and image have a higher confidence. `missed`: which of the wrong
    labels have no verdict and only count as wrong; empty if none.
    """

    model_config = ConfigDict(extra="forbid")

    image: list[Count] = []
    place: list[Count] = []
    confidence: list[Probability] = []
    wrong: list[bool] = []
    missed: list[bool] = []

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _must_be_as_long(image=self.image, place=self.place, confidence=self.confidence, wrong=self.wrong)
        if self.missed:
            _must_be_as_long(image=self.image, missed=self.missed)
        return self


class FitFigures(BaseModel):
    """The size of a fit's data and its quality. All figures but counts are out of fold, by image.

    `missed`, `certified_missed`: labels without a verdict that count as wrong, of `labels` and of
    `certified_labels`.
    """

    model_config = ConfigDict(extra="forbid")

    images: int
    labels: int
    right: int
    certified_images: int
    certified_labels: int
    missed: int = 0
    certified_missed: int = 0
    aurc_by_family: dict[str, float] = {}
    brier_by_map: dict[str, float] = {}
    brier: float | None = None
    ece: float | None = None
    auroc: float | None = None
    aurc: float | None = None
    note: str | None = None


class KindCalibration(BaseModel):
    """One label kind.

    `fit_labels`: the part used for fitting, with confidences out of fold; it chooses where testing starts
    and certifies nothing. `held_out`: the part that certifies. `scope`: held-out labels are a sample of
    all labels, or only of those that an earlier routing had accepted.
    """

    model_config = ConfigDict(extra="forbid")

    columns: list[SignalColumn]
    model: Model
    map: ConfidenceMap
    figures: FitFigures
    fit_labels: JudgedLabels
    held_out: JudgedLabels
    scope: Literal["all", "accepted_before"] = "all"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if isinstance(self.model, ConstantModel):
            return self
        width = 2 * len(self.columns) + sum(column.indicator for column in self.columns)
        if len(self.model.weights) != width:
            raise ValueError(
                f"{len(self.columns)} signals make {width} columns: weights are {len(self.model.weights)}"
            )
        trees = self.model.trees if isinstance(self.model, BoostedTrees) else []
        if any(feature >= width for tree in trees for feature in tree.feature):
            raise ValueError(f"a tree asks for a column that is none of the {width}")
        return self


class Calibration(BaseModel):
    """`C.json` of `fo1 calibrate`: for one model, one proposer and one wording of the questions."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    schema_version: int = CALIBRATION_VERSION
    created_at: str
    model_name: str | None = None
    model_sha256: str | None
    proposer: str | None
    proposer_sha256: str | None = None
    prompts_version: str | None
    dataset: str
    dataset_images: int | None = None
    gold_images: int | None = None
    gold: str
    gold_sha256: str | None = None
    gold_with_model_labels: bool = False
    caption_match: Literal["exact", "words"]
    seed: int
    kinds: dict[LabelKind, KindCalibration]


class RoutingSettings(BaseModel):
    """Settings of routing. `review_budget`: a number of labels, or below 1 a share; `audit`: a share.

    `whole_images`: both are of images, whose labels are all drawn, instead of single labels.
    """

    model_config = ConfigDict(extra="forbid")

    max_error: float | None = Field(default=None, gt=0, lt=1)
    confidence_level: float = Field(default=0.9, gt=0, lt=1)
    review_budget: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    audit: float = Field(default=0.0, ge=0, le=1)
    whole_images: bool = False
    seed: int = 0

    @property
    def decides(self) -> bool:
        """True if labels get a decision, and not only a confidence."""
        return self.max_error is not None or self.review_budget is not None or self.audit > 0


class Acceptance(BaseModel):
    """The acceptance rule of one kind: of each image the `most_labels` most confident labels of at least
    `threshold`.

    `threshold` None: nothing is accepted. `held_out_labels`, `held_out_wrong`: how many labels of the
    held-out part the rule accepts, and how many of them are wrong. `held_out_missed`: how many of the wrong
    ones have no verdict and only count as wrong. `explanation`: the reason in words; it is `told` in JSON.
    """

    model_config = ConfigDict(extra="forbid")

    threshold: float | None
    most_labels: int | None = None
    only_accepted_before: bool = False
    held_out_labels: int = 0
    held_out_wrong: int = 0
    held_out_missed: int = 0
    explanation: str = Field(serialization_alias="told")
