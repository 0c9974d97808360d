"""Gives labels a confidence and a decision: accept, audit (drawn for a check), unreviewed, or review.

Only a label with a confidence, so one that a calibration covers, is ever accepted. A label without one that
no person is asked about is unreviewed; it can be drawn for the audit, but that does not make it accepted.

A label that a person wrote or confirmed is never routed again, and a label whose box was moved stays in
review. All draws are seeded by the label's key (with `whole_images`: by the image's id), so the decision on a
row does not depend on its shard or on the order of rows. A review budget needs all rows: `ReviewPlan` sees
them first, and its choice is passed to `decide`. Changes rows in place; reads and writes no files.
"""

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from fo1_data.confidence.acceptance import acceptances
from fo1_data.confidence.calibration_match import covers
from fo1_data.confidence.reasons import MOST_REASONS, reasons_for
from fo1_data.confidence.scoring import Scorer, confidence
from fo1_data.confidence.signal_columns import prepare, signals_of
from fo1_data.dataset.human_labels import is_locked, is_stale
from fo1_data.dataset.label_parts import LabelPart, draw, label_parts
from schemas.calibration import Acceptance, Calibration, KindCalibration, RoutingSettings
from schemas.images import Grounding, ImageRow
from schemas.labels import Decision, Label, LabelKind, strictest

BEYOND_BUDGET = "beyond the review budget"
DRAWN = "drawn at random for the audit"
UNREVIEWED = "no calibration stands behind it"
UNCALIBRATED = "not calibrated"
OTHER_MODEL = "the calibration is not of this model and these boxes and questions"


class Router:
    """Scores and decides rows.

    `kinds`: the kinds that share the level of the guarantee, which are the kinds that a run labels.
    `forced`: use the calibration on every row, whichever model labelled it.
    """

    def __init__(
        self,
        settings: RoutingSettings,
        calibration: Calibration | None,
        kinds: Iterable[LabelKind],
        *,
        forced: bool = False,
    ) -> None:
        self.settings = settings
        self._calibration = None if forced else calibration
        self._kinds = calibration.kinds if calibration is not None else {}
        self._scorers = {kind: Scorer(calibrated.model) for kind, calibrated in self._kinds.items()}
        self.acceptances: dict[LabelKind, Acceptance] = {}
        if settings.max_error is not None and calibration is not None:
            self.acceptances = acceptances(calibration, settings.max_error, settings.confidence_level, kinds)

    def score(self, row: ImageRow) -> None:
        """Set the confidence of every label of a calibrated kind, and None for the other kinds.

        A row that another model labelled keeps its confidences.
        """
        open_parts = self.open_parts(row)
        if not self._covers(row):
            return
        for kind in {part.kind for part in open_parts}:
            labels = [part.label for part in open_parts if part.kind is kind]
            calibrated = self._kinds.get(kind)
            values = self._confidences(calibrated, kind, labels) if calibrated else [None] * len(labels)
            for label, value in zip(labels, values, strict=True):
                label.confidence = value

    def decide(self, row: ImageRow, reviewed: Collection[str] | None = None) -> None:
        """Set the decisions and reasons of all labels, and the decisions of the regions and the row.

        `reviewed`: the keys of the labels that a review budget chose; None if there is no budget.
        """
        guaranteed = self.guaranteed(row)
        for part in self.open_parts(row):
            self._decide(part, guaranteed, reviewed)
        for region in row.regions:
            region.decision = strictest(label.decision for label in region.labels)
        row.decision = strictest(label.decision for label in row.all_labels())

    def guaranteed(self, row: ImageRow) -> dict[str, str]:
        """The keys of the labels that the guarantee accepts, each with the reason."""
        accepted: dict[str, str] = {}
        by_kind: dict[LabelKind, list[LabelPart]] = {}
        if not self._covers(row):
            return accepted
        for part in self.open_parts(row):
            if is_stale(part.label):
                continue
            rule = self.acceptances.get(part.kind)
            if rule is not None and not (rule.only_accepted_before and not was_audited(part.label)):
                by_kind.setdefault(part.kind, []).append(part)
        for kind, parts in by_kind.items():
            rule = self.acceptances[kind]
            if rule.threshold is None:
                continue
            surest = sorted(parts, key=lambda part: (-(part.label.confidence or 0.0), part.key))
            for part in surest[: rule.most_labels]:
                if part.label.confidence is not None and part.label.confidence >= rule.threshold:
                    accepted[part.key] = f"confidence is at least {rule.threshold:.3f}"
        return accepted

    def manifest_entry(self, warning: str | None = None) -> dict[str, Any]:
        """The routing for the manifest: the settings and the rule of each kind with its evidence."""
        rules = {
            kind.value: rule.model_dump(mode="json", by_alias=True) for kind, rule in self.acceptances.items()
        }
        entry: dict[str, Any] = {**self.settings.model_dump(mode="json"), "rules": rules}
        return entry | ({"warning": warning} if warning else {})

    @staticmethod
    def open_parts(row: ImageRow) -> list[LabelPart]:
        """The labels of a row that are routed: those that no person wrote or confirmed."""
        return [part for part in label_parts(row) if not is_locked(part.label)]

    def _covers(self, row: ImageRow) -> bool:
        return self._calibration is None or covers(self._calibration, row)

    def _confidences(
        self, calibrated: KindCalibration, kind: LabelKind, labels: list[Label]
    ) -> list[float | None]:
        matrix = prepare([signals_of(label) for label in labels], calibrated.columns)
        values = confidence(calibrated.map, self._scorers[kind](matrix))
        return [float(value) for value in np.atleast_1d(values)]

    def _decide(self, part: LabelPart, guaranteed: dict[str, str], reviewed: Collection[str] | None) -> None:
        label, key = part.label, part.key
        if is_stale(label):
            label.decision = Decision.REVIEW
            return
        chosen = reviewed is not None and key in reviewed
        unsure = self.settings.max_error is not None and key not in guaranteed
        if chosen or unsure:
            label.reasons = self._doubts(part, unsure)
            label.decision = Decision.REVIEW
            if reviewed is not None and not chosen:
                label.reasons.append(BEYOND_BUDGET)
        elif self._is_audited(part):
            label.decision = Decision.AUDIT
            label.reasons = [DRAWN] if self._has_confidence(part) else [DRAWN, UNREVIEWED]
        elif self._has_confidence(part):
            label.decision = Decision.ACCEPT
            label.reasons = [guaranteed[key]] if key in guaranteed else []
        else:
            label.decision = Decision.UNREVIEWED
            label.reasons = [UNREVIEWED]

    def _is_audited(self, part: LabelPart) -> bool:
        name = part.row.image_id if self.settings.whole_images else part.key
        return draw(self.settings.seed, "audit", name) < self.settings.audit

    def _has_confidence(self, part: LabelPart) -> bool:
        return part.label.confidence is not None and self._covers(part.row)

    def _doubts(self, part: LabelPart, unsure: bool) -> list[str]:
        """At most MOST_REASONS reasons against a label: its signals in words, then why it is not accepted.

        What holds for all labels of a kind (that its rule accepts nothing) is in the manifest, not here.
        """
        calibrated = self._kinds.get(part.kind)
        columns = calibrated.columns if calibrated is not None else []
        absent = isinstance(part.part, Grounding) and not part.part.region_ids
        reasons = reasons_for(signals_of(part.label), columns, part.label.text, absent)
        return [*reasons[: MOST_REASONS - 1], self._why_unsure(part, unsure)]

    def _why_unsure(self, part: LabelPart, unsure: bool) -> str:
        rule, value = self.acceptances.get(part.kind), part.label.confidence
        if not self._covers(part.row):
            return OTHER_MODEL
        if value is None or (unsure and rule is None):
            return UNCALIBRATED
        if not unsure or rule is None or rule.threshold is None:
            return f"confidence {value:.2f}"
        if value < rule.threshold:
            return f"confidence {value:.2f}, below {rule.threshold:.3f}"
        if rule.only_accepted_before and not was_audited(part.label):
            return "it was in review before, and only the other labels were audited"
        return f"the guarantee covers no more than {rule.most_labels} labels of an image"


def was_audited(label: Label) -> bool:
    """True if an earlier routing put the label among those that its audit was drawn from."""
    return label.decision in (Decision.ACCEPT, Decision.AUDIT, Decision.UNREVIEWED)
