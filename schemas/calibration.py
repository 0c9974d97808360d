"""The calibration file: how signals become a confidence, and on what evidence labels may be accepted.

Everything is plain numbers, so that a confidence is computed from the file alone, without the library
that fitted it. A *score* is log odds before the map; a *confidence* is the probability, 0 to 1, that a
label is right. Holds no code; what the numbers mean is said beside each.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.labels import LabelKind

CALIBRATION_VERSION = 1


class SignalColumn(BaseModel):
    """One signal as the model takes it: two columns of a value clipped to `low`..`high`.

    The first is (value - mean) / deviation, the second the value's rank as a standard normal number: the
    interpolation between the points (`knots`, `ranks`), flat beyond the ends; so both ends of a skewed
    signal are told apart. `fill` stands in for a missing value. `indicator`: a further column, 1 where it
    was missing. `usual_low`, `usual_high`: the 10th and 90th percentile over right labels, for reasons.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    fill: float
    mean: float
    deviation: float = Field(gt=0)
    low: float
    high: float
    knots: list[float]
    ranks: list[float]
    indicator: bool = False
    usual_low: float
    usual_high: float


class LogisticModel(BaseModel):
    """score = intercept + weights . columns: values, then ranks, then indicators, in order of signals."""

    model_config = ConfigDict(extra="forbid")

    family: Literal["logistic"] = "logistic"
    intercept: float
    weights: list[float]


class Tree(BaseModel):
    """A binary tree by node number: go `left` where column `feature` is at most `threshold`.

    A leaf has `feature` -1; `value` is what it adds to the score.
    """

    model_config = ConfigDict(extra="forbid")

    feature: list[int]
    threshold: list[float]
    left: list[int]
    right: list[int]
    value: list[float]


class BoostedTrees(BaseModel):
    """score = intercept + weights . columns + the sum of the trees."""

    model_config = ConfigDict(extra="forbid")

    family: Literal["boosted_trees"] = "boosted_trees"
    intercept: float
    weights: list[float]
    trees: list[Tree]


class ConstantModel(BaseModel):
    """Every label has the same score: gold was one-sided, or too small to tell labels apart."""

    model_config = ConfigDict(extra="forbid")

    family: Literal["constant"] = "constant"
    intercept: float


Model = Annotated[LogisticModel | BoostedTrees | ConstantModel, Field(discriminator="family")]


class ConfidenceMap(BaseModel):
    """confidence = platt_share x sigmoid(slope x score + intercept) + (1 - platt_share) x interpolation.

    The interpolation is between the points (`scores`, `confidences`), both rising, flat beyond the ends.
    With the slope above 0 and the share above 0 the map rises strictly: labels keep their order.
    """

    model_config = ConfigDict(extra="forbid")

    slope: float = Field(gt=0)
    intercept: float
    platt_share: float = Field(gt=0, le=1)
    scores: list[float] = []
    confidences: list[float] = []


class JudgedLabels(BaseModel):
    """Labels that were judged, as parallel lists: the number of their image, confidence, wrong or not.

    `place`: how many labels of the same kind and image are surer.
    """

    model_config = ConfigDict(extra="forbid")

    image: list[int] = []
    place: list[int] = []
    confidence: list[float] = []
    wrong: list[bool] = []


class FitFigures(BaseModel):
    """What a fit rests on and how good it is. All but the counts are out of fold, by image."""

    model_config = ConfigDict(extra="forbid")

    images: int
    labels: int
    right: int
    certified_images: int
    certified_labels: int
    aurc_by_family: dict[str, float] = {}
    brier_by_map: dict[str, float] = {}
    brier: float | None = None
    ece: float | None = None
    auroc: float | None = None
    aurc: float | None = None
    note: str | None = None


class KindCalibration(BaseModel):
    """One label kind.

    `fit_labels`: the part that was fitted on, with confidences out of fold: it chooses where testing
    starts, and certifies nothing. `held_out`: the part that certifies. `scope`: held-out labels are a
    sample of all labels, or only of those that an earlier routing had accepted.
    """

    model_config = ConfigDict(extra="forbid")

    columns: list[SignalColumn]
    model: Model
    map: ConfidenceMap
    figures: FitFigures
    fit_labels: JudgedLabels
    held_out: JudgedLabels
    scope: Literal["all", "accepted_before"] = "all"


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
    gold: str
    gold_sha256: str | None = None
    caption_match: Literal["exact", "words"]
    seed: int
    kinds: dict[LabelKind, KindCalibration]


class RoutingSettings(BaseModel):
    """What decides. `review_budget`: a number of labels, or below 1 a share of them; `audit`: a share."""

    model_config = ConfigDict(extra="forbid")

    max_error: float | None = Field(default=None, gt=0, lt=1)
    confidence_level: float = Field(default=0.9, gt=0, lt=1)
    review_budget: float | None = Field(default=None, ge=0)
    audit: float = Field(default=0.0, ge=0, le=1)
    seed: int = 0

    @property
    def decides(self) -> bool:
        """True where a label gets a decision at all, and not only a confidence."""
        return self.max_error is not None or self.review_budget is not None or self.audit > 0


class Acceptance(BaseModel):
    """The rule for one kind: of each image the `most_labels` surest labels, from `threshold` on.

    None: nothing is accepted.

    `told`: in words, why. `held_out_labels`, `held_out_wrong`: what the rule accepts of the held-out part.
    """

    model_config = ConfigDict(extra="forbid")

    threshold: float | None
    most_labels: int | None = None
    only_accepted_before: bool = False
    held_out_labels: int = 0
    held_out_wrong: int = 0
    told: str
