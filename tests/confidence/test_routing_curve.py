"""The curve of error bounds counts what routing would accept, label by label."""

import numpy as np
import pytest
from made_up_labels import made_row

from fo1_data.confidence.open_labels import labels_of_rows, open_parts
from fo1_data.confidence.routing import Router
from fo1_data.confidence.routing_curve import ScoredLabels
from fo1_data.dataset.human_labels import made_stale
from schemas.calibration import Acceptance, RoutingSettings
from schemas.images import ImageRow
from schemas.labels import Decision, LabelKind

BRIEF = LabelKind.BRIEF_CAPTION


def scored_rows() -> list[ImageRow]:
    """Rows of which some labels were audited, and the surest caption of every third has a moved box."""
    rng = np.random.default_rng(0)
    rows = [made_row(number) for number in range(60)]
    for number, row in enumerate(rows):
        for label in row.all_labels():
            label.confidence = float(np.float32(rng.random()))
            label.decision = Decision.AUDIT if rng.random() < 0.6 else Decision.REVIEW
        if number % 3 == 0:
            surest = max(row.regions, key=lambda region: region.labels[0].confidence or 0.0)
            surest.labels[0] = made_stale(surest.labels[0])
    return rows


@pytest.mark.parametrize("only_accepted_before", [False, True])
@pytest.mark.parametrize("most_labels", [1, 2, None])
def test_a_point_counts_what_the_rules_accept(most_labels: int | None, only_accepted_before: bool) -> None:
    router = Router(RoutingSettings(max_error=0.1), None, [])
    rule = Acceptance(
        threshold=0.3, most_labels=most_labels, only_accepted_before=only_accepted_before, explanation=""
    )
    router.acceptances = {BRIEF: rule}
    counted, accepted = ScoredLabels(router), 0
    rows = scored_rows()
    for start in range(0, len(rows), 25):
        part = rows[start : start + 25]
        labels = labels_of_rows(part, open_parts(part))
        counted.add(labels)
        accepted += int(router.guaranteed(labels).sum())
    assert counted.point(0.1, router.acceptances).accepted == accepted > 0
