"""Gives labels a confidence and a decision: accept, audit (drawn for a check), unreviewed, or review.

Only a label with a confidence, so one that a calibration covers, is ever accepted. A label without one that
no person is asked about is unreviewed; it can be drawn for the audit, but that does not make it accepted.

A label that a person wrote or confirmed is never routed again, and a label whose box was moved stays in
review. All draws are seeded by the label's key (with `whole_images`: by the image's id), so the decision on a
row does not depend on its shard or on the order of rows. A review budget needs all rows: `ReviewPlan` sees
them first, and its choice is passed to `decide`. Labels come as columns, of rows or of Arrow batches
(`OpenLabels`). Reads and writes no files.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fo1_data.confidence.acceptance import acceptances
from fo1_data.confidence.calibration_match import covers
from fo1_data.confidence.judged_kind import places_in_image
from fo1_data.confidence.open_labels import DECISIONS, KINDS, OpenLabels, labels_of_rows, open_parts
from fo1_data.confidence.reasons import MOST_REASONS, reasons_for
from fo1_data.confidence.scoring import Scorer, confidence
from fo1_data.confidence.signal_columns import bounded, prepare_matrix
from fo1_data.dataset.label_columns import Mask, Places
from fo1_data.dataset.label_parts import draw
from schemas.calibration import Acceptance, Calibration, RoutingSettings
from schemas.images import ImageRow
from schemas.labels import LabelKind, strictest

BEYOND_BUDGET = "beyond the review budget"
DRAWN = "drawn at random for the audit"
UNREVIEWED = "no calibration stands behind it"
UNCALIBRATED = "not calibrated"
OTHER_MODEL = "the calibration is not of this model and these boxes and questions"
_ACCEPT, _AUDIT, _UNREVIEWED, _REVIEW = range(len(DECISIONS))
_DRAWN_FROM = (_ACCEPT, _AUDIT, _UNREVIEWED)


@dataclass(frozen=True)
class Decided:
    """Of each label its decision, by its place in `DECISIONS`, and its reasons; None: they stay."""

    decisions: Places
    reasons: list[list[str] | None]


class Router:
    """Scores and decides labels.

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

    def score_rows(self, rows: Sequence[ImageRow]) -> None:
        """`score` the labels of rows, in place."""
        parts = open_parts(rows)
        labels = labels_of_rows(rows, parts)
        self.score(labels)
        for (_, part), value in zip(parts, labels.confidence.tolist(), strict=True):
            part.label.confidence = None if np.isnan(value) else value

    def decide_rows(self, rows: Sequence[ImageRow], reviewed: Collection[str] | None = None) -> None:
        """`decide` the labels of rows, in place, and with them the regions and the rows."""
        parts = open_parts(rows)
        decided = self.decide(labels_of_rows(rows, parts), reviewed)
        for (_, part), place, reasons in zip(parts, decided.decisions.tolist(), decided.reasons, strict=True):
            part.label.decision = DECISIONS[place]
            if reasons is not None:
                part.label.reasons = reasons
        for row in rows:
            for region in row.regions:
                region.decision = strictest(label.decision for label in region.labels)
            row.decision = strictest(label.decision for label in row.all_labels())

    def score(self, labels: OpenLabels) -> None:
        """Set the confidence of every label of a calibrated kind, and none for the other kinds.

        Labels of a row that another model labelled keep their confidences.
        """
        covered = self.covered(labels)
        for place in np.unique(labels.kinds[covered]).tolist():
            chosen = np.flatnonzero(covered & (labels.kinds == place))
            calibrated = self._kinds.get(KINDS[place])
            if calibrated is None:
                labels.confidence[chosen] = np.nan
                continue
            signals = labels.signals.matrix([column.name for column in calibrated.columns])[chosen]
            scores = self._scorers[KINDS[place]](prepare_matrix(bounded(signals), calibrated.columns))
            labels.confidence[chosen] = confidence(calibrated.map, scores)

    def decide(self, labels: OpenLabels, reviewed: Collection[str] | None = None) -> Decided:
        """The decisions of labels that are scored, and their reasons.

        `reviewed`: the keys of the labels that a review budget chose; None if there is no budget.
        """
        guaranteed, covered = self.guaranteed(labels), self.covered(labels)
        has_confidence = ~np.isnan(labels.confidence) & covered
        chosen = np.array([reviewed is not None and key in reviewed for key in labels.keys], bool)
        unsure = ~guaranteed if self.settings.max_error is not None else np.zeros(len(labels), bool)
        doubted = (chosen | unsure) & ~labels.is_stale
        drawn = self._drawn(labels, ~doubted & ~labels.is_stale)
        decisions = np.select(
            [labels.is_stale | doubted, drawn, has_confidence], [_REVIEW, _AUDIT, _ACCEPT], _UNREVIEWED
        )
        reasons = self._reasons(labels, decisions, has_confidence, guaranteed)
        for place in np.flatnonzero(doubted).tolist():
            reasons[place] = self._doubts(labels, place, bool(unsure[place]), bool(covered[place]))
            if reviewed is not None and not chosen[place]:
                reasons[place].append(BEYOND_BUDGET)
        is_kept = labels.is_stale.tolist()
        return Decided(
            decisions, [None if kept else given for kept, given in zip(is_kept, reasons, strict=True)]
        )

    def guaranteed(self, labels: OpenLabels) -> Mask:
        """Which labels the guarantee accepts."""
        accepted = np.zeros(len(labels), bool)
        usable = self.covered(labels) & ~labels.is_stale
        for kind, rule in self.acceptances.items():
            of_kind = usable & (labels.kinds == KINDS.index(kind))
            if rule.only_accepted_before:
                of_kind &= was_audited(labels)
            if rule.threshold is not None:
                surest, places = by_trust(labels, of_kind)
                surest = surest if rule.most_labels is None else surest[places < rule.most_labels]
                accepted[surest] = labels.confidence[surest] >= rule.threshold
        return accepted

    def covered(self, labels: OpenLabels) -> Mask:
        """Which labels are of a row that the calibration is made for."""
        calibration = self._calibration
        if calibration is None:
            return np.ones(len(labels), bool)
        known: dict[tuple[str | None, ...], bool] = {}
        of_rows = []
        for made_by in labels.provenances:
            key = (made_by.model_sha256, made_by.proposer, made_by.prompts_version)
            if key not in known:
                known[key] = covers(calibration, made_by)
            of_rows.append(known[key])
        return np.array(of_rows, bool)[labels.rows]

    def manifest_entry(self, warning: str | None = None) -> dict[str, Any]:
        """The routing for the manifest: the settings and the rule of each kind with its evidence."""
        rules = {
            kind.value: rule.model_dump(mode="json", by_alias=True) for kind, rule in self.acceptances.items()
        }
        entry: dict[str, Any] = {**self.settings.model_dump(mode="json"), "rules": rules}
        return entry | ({"warning": warning} if warning else {})

    def _drawn(self, labels: OpenLabels, among: Mask) -> Mask:
        """Which of the labels at which `among` is true are drawn for the audit."""
        drawn = np.zeros(len(labels), bool)
        if self.settings.audit:
            for place in np.flatnonzero(among).tolist():
                name = (
                    labels.image_ids[labels.rows[place]] if self.settings.whole_images else labels.keys[place]
                )
                drawn[place] = draw(self.settings.seed, "audit", name) < self.settings.audit
        return drawn

    def _reasons(
        self, labels: OpenLabels, decisions: Places, has_confidence: Mask, guaranteed: Mask
    ) -> list[list[str]]:
        """The reasons of labels that are not in review; the others have none."""
        thresholds = {
            KINDS.index(kind): rule.threshold
            for kind, rule in self.acceptances.items()
            if rule.threshold is not None
        }
        of_kind = {
            place: f"confidence is at least {threshold:.3f}" for place, threshold in thresholds.items()
        }
        reasons: list[list[str]] = []
        columns = (decisions, has_confidence, guaranteed, labels.kinds)
        for decision, confident, accepted, kind in zip(*(column.tolist() for column in columns), strict=True):
            if decision == _AUDIT:
                reasons.append([DRAWN] if confident else [DRAWN, UNREVIEWED])
            elif decision == _UNREVIEWED:
                reasons.append([UNREVIEWED])
            else:
                reasons.append([of_kind[kind]] if decision == _ACCEPT and accepted else [])
        return reasons

    def _doubts(self, labels: OpenLabels, place: int, unsure: bool, covered: bool) -> list[str]:
        """At most MOST_REASONS reasons against a label: its signals in words, then why it is not accepted.

        What holds for all labels of a kind (that its rule accepts nothing) is in the manifest, not here.
        """
        calibrated = self._kinds.get(KINDS[labels.kinds[place]])
        columns = calibrated.columns if calibrated is not None else []
        signals, is_absent = labels.signals.of_label(place), bool(labels.is_absent[place])
        reasons = reasons_for(signals, columns, labels.texts[place], is_absent)
        why = self._why_unsure(labels, place, unsure) if covered else OTHER_MODEL
        return [*reasons[: MOST_REASONS - 1], why]

    def _why_unsure(self, labels: OpenLabels, place: int, unsure: bool) -> str:
        rule, value = self.acceptances.get(KINDS[labels.kinds[place]]), float(labels.confidence[place])
        if np.isnan(value) or (unsure and rule is None):
            return UNCALIBRATED
        if not unsure or rule is None or rule.threshold is None:
            return f"confidence {value:.2f}"
        if value < rule.threshold:
            return f"confidence {value:.2f}, below {rule.threshold:.3f}"
        if rule.only_accepted_before and labels.decisions[place] not in _DRAWN_FROM:
            return "it was in review before, and only the other labels were audited"
        return f"the guarantee covers no more than {rule.most_labels} labels of an image"


def was_audited(labels: OpenLabels) -> Mask:
    """Which labels an earlier routing put among those that its audit was drawn from."""
    return np.isin(labels.decisions, _DRAWN_FROM)


def by_trust(labels: OpenLabels, among: Mask) -> tuple[Places, Places]:
    """The labels at which `among` is true, and the place of each in its row: 0 is the surest.

    Of labels with equal confidences the one with the lowest key comes first.
    """
    chosen = np.flatnonzero(among)
    keys = np.array(labels.keys, dtype=object)[chosen]
    chosen = chosen[np.argsort(keys, kind="stable")]
    return chosen, places_in_image(labels.rows[chosen], np.nan_to_num(labels.confidence[chosen]))
