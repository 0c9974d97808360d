"""What each error bound would accept of a finished dataset, before anything is routed.

Rows are scored as `fo1 route` scores them and counted by the same rules; nothing is decided or written. Of a
large dataset the first rows of every file are read, the same share of each.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel

from fo1_data.confidence.acceptance import acceptances
from fo1_data.confidence.calibration_file import read_calibration
from fo1_data.confidence.calibration_match import check_match, origin_of
from fo1_data.confidence.open_labels import KINDS, OpenLabels
from fo1_data.confidence.route_dataset import guaranteed_kinds
from fo1_data.confidence.routed_batch import RoutedBatch
from fo1_data.confidence.routing import Router, by_trust, was_audited
from fo1_data.dataset.light_rows import light_batches
from fo1_data.dataset.reader import Dataset, open_dataset
from schemas.calibration import Acceptance, RoutingSettings
from schemas.labels import LabelKind

MAX_ERRORS = (0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4)
MAX_ROWS = 20_000


class CurvePoint(BaseModel):
    """One error bound. `max_error`: the bound on the share of wrong labels among the accepted ones.

    `accepted`: labels of the rows read that it accepts, `accepted_share`: of all their open labels.
    `expected_error`: the mean of 1 - confidence over the accepted labels; null if there are none.
    `held_out_labels`, `held_out_wrong`: what certifies the bound, over all kinds. `kinds`: labels by kind.
    """

    max_error: float
    accepted: int
    accepted_share: float
    expected_error: float | None
    held_out_labels: int
    held_out_wrong: int
    kinds: dict[LabelKind, int]


class RoutingCurve(BaseModel):
    """The points by rising bound. Each bound alone holds with the probability `confidence_level`; one that
    was chosen for what it accepts need not.

    `labels`: open labels of the `rows_read` of `rows_total` rows. `warning`: the calibration was made for
    other labels. `rules`: why the strictest and the loosest bound accept what they accept, by kind.
    """

    confidence_level: float
    labels: int
    rows_read: int
    rows_total: int
    points: list[CurvePoint]
    rules: dict[LabelKind, str]
    warning: str | None = None


def routing_curve(
    address: str,
    calibration: str,
    confidence_level: float = 0.9,
    force: bool = False,
    max_errors: Sequence[float] = MAX_ERRORS,
    max_rows: int = MAX_ROWS,
) -> RoutingCurve:
    """Return the curve of the dataset at `address` under the calibration at a path or URL.

    Raises CalibrationError if it was made for other labels and `force` is off.
    """
    dataset = open_dataset(address)
    fitted, _ = read_calibration(calibration)
    warning = check_match(fitted, origin_of(dataset.manifest), force)
    kinds = guaranteed_kinds(dataset, fitted)
    router = Router(RoutingSettings(), fitted, kinds, forced=warning is not None)
    labels = ScoredLabels(router)
    for batch in _batches(dataset, max_rows):
        labels.add(RoutedBatch(batch, router).labels)
    points, rules = [], {}
    for max_error in sorted(max_errors):
        rules = acceptances(fitted, max_error, confidence_level, kinds)
        points.append(labels.point(max_error, rules))
    return RoutingCurve(
        confidence_level=confidence_level,
        labels=labels.num_labels,
        rows_read=labels.num_rows,
        rows_total=sum(file.num_rows for file in dataset.data_files()),
        points=points,
        rules={kind: rule.explanation for kind, rule in rules.items()},
        warning=warning,
    )


def _batches(dataset: Dataset, max_rows: int) -> Iterator[pa.RecordBatch]:
    """The first rows of every file, without their pixels."""
    total = sum(file.num_rows for file in dataset.data_files())
    share = min(1.0, max_rows / max(1, total))
    for file in dataset.data_files():
        left = math.ceil(file.num_rows * share)
        for batch in light_batches(dataset.store, file.path, lambda path: path != "image.bytes"):
            yield batch.slice(0, left)
            left -= min(left, batch.num_rows)
            if not left:
                break


class ScoredLabels:
    """The open labels of rows by kind, as far as a rule may accept them: confidence, place in the image, and
    place among the audited ones."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._columns: dict[LabelKind, list[npt.NDArray[np.float64]]] = defaultdict(list)
        self.num_labels = self.num_rows = 0

    def add(self, labels: OpenLabels) -> None:
        """Count labels, which are scored."""
        self.num_rows += len(labels.image_ids)
        self.num_labels += len(labels)
        usable = self._router.covered(labels) & ~np.isnan(labels.confidence) & ~labels.is_stale
        audited = was_audited(labels)
        for place in np.unique(labels.kinds[usable]).tolist():
            of_kind = usable & (labels.kinds == place)
            places, audited_places = np.full((2, len(labels)), -1.0)
            for among, of_labels in ((of_kind, places), (of_kind & audited, audited_places)):
                surest, order = by_trust(labels, among)
                of_labels[surest] = order
            columns = np.stack([labels.confidence, places, audited_places])
            self._columns[KINDS[place]].append(columns[:, of_kind])

    def point(self, max_error: float, rules: dict[LabelKind, Acceptance]) -> CurvePoint:
        """Return what the rules accept."""
        accepted: dict[LabelKind, int] = {}
        doubt = 0.0
        for kind, rule in rules.items():
            confidences = np.zeros(0)
            if rule.threshold is not None and self._columns.get(kind):
                values, places, audited_places = np.concatenate(self._columns[kind], axis=1)
                places = audited_places if rule.only_accepted_before else places
                most = np.inf if rule.most_labels is None else rule.most_labels
                confidences = values[(values >= rule.threshold) & (places >= 0) & (places < most)]
            accepted[kind] = len(confidences)
            doubt += float((1 - confidences).sum())
        total = sum(accepted.values())
        return CurvePoint(
            max_error=max_error,
            accepted=total,
            accepted_share=total / max(1, self.num_labels),
            expected_error=doubt / total if total else None,
            held_out_labels=sum(rule.held_out_labels for rule in rules.values()),
            held_out_wrong=sum(rule.held_out_wrong for rule in rules.values()),
            kinds=accepted,
        )
