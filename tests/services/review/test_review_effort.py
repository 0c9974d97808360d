"""What a routing says people are asked is what a push shows them, whole images or asked labels only."""

from pathlib import Path

import pytest
from factories import make_dataset, make_row

from fo1_data.confidence.review_cost import ReviewEffort, describe_effort
from fo1_data.confidence.review_plan import ReviewPlan
from fo1_data.confidence.routing import Router
from schemas.calibration import Acceptance, RoutingSettings
from schemas.images import ImageRow
from schemas.labels import LabelKind
from schemas.reviews import ReviewOptions
from services.label_studio.shown import ShownImage, unpack
from services.review.outbox.plan import plan_items


def routed_rows(whole_images: bool) -> list[ImageRow]:
    """48 images under a guarantee that accepts half of the labels, with a budget for some of the rest."""
    settings = RoutingSettings(max_error=0.1, review_budget=12, audit=0.05, whole_images=whole_images)
    router = Router(settings, None, [])
    router.acceptances = {
        kind: Acceptance(threshold=0.5, most_labels=9, explanation="") for kind in LabelKind
    }
    rows = [make_row(seed, 4) for seed in range(48)]
    plan = ReviewPlan(router)
    for number, row in enumerate(rows):
        for place, label in enumerate(row.all_labels()):
            label.confidence = ((number * 7 + place * 3) % 20) / 20
        plan.add(row)
    chosen = plan.choose()
    for row in rows:
        router.decide(row, chosen)
    return rows


def num_shown(shown: ShownImage) -> int:
    texts = sum(len(region.texts) for region in shown.regions)
    return texts + len(shown.phrases) + len(shown.counts) + len(shown.answers)


@pytest.mark.parametrize("whole_images", [False, True])
def test_the_effort_is_that_of_the_push(tmp_path: Path, whole_images: bool) -> None:
    rows = routed_rows(whole_images)
    make_dataset(tmp_path / "d", rows)
    effort = ReviewEffort()
    for row in rows:
        effort.add(row)
    assert 0 < effort.images < len(rows), "images with nothing but labels beyond the budget are not pushed"
    for asked_only, num_labels in ((False, effort.labels), (True, effort.asked_labels)):
        options = ReviewOptions(asked_only=asked_only)
        batches = plan_items(str(tmp_path / "d"), "rev_1", "ab12", options)
        items = [unpack(item["shown"]) for batch in batches for item in batch]
        assert len(items) == effort.images
        assert sum(map(num_shown, items)) == num_labels
        assert all(len(shown.regions) == 4 for shown in items)
    if whole_images:
        assert describe_effort(effort.counts()).startswith(f"{effort.images} of 48 images")
    else:
        assert effort.labels > 2 * effort.asked_labels
