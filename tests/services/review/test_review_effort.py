"""What a routing says people are asked is what a push shows them, whole images or asked labels only."""

import math
from pathlib import Path

import pytest
from factories import make_dataset, make_row
from fake_label_studio import FakeLabelStudio
from review_bench import make_review_dataset, open_bench
from review_samples import edited

from fo1_data.cli.review import pulled_text, review_text
from fo1_data.confidence.review_cost import ReviewEffort, describe_effort
from fo1_data.confidence.review_plan import ReviewPlan
from fo1_data.confidence.routing import Router
from schemas.calibration import Acceptance, RoutingSettings
from schemas.images import ImageRow
from schemas.labels import LabelKind
from schemas.reviews import ReviewOptions
from services.label_studio.shown import unpack
from services.label_studio.shown_from_rows import shown_image
from services.review import item_repository
from services.review.outbox.plan import plan_items
from services.review.views import Effort, view_of


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
        plan.add_rows([row])
    chosen = plan.choose()
    for row in rows:
        router.decide_rows([row], chosen)
    return rows


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
        items = [item for batch in batches for item in batch]
        assert len(items) == effort.images
        assert sum(item["num_labels"] for item in items) == num_labels
        assert all(len(unpack(item["shown"]).regions) == 4 for item in items)
    if whole_images:
        assert describe_effort(effort.counts()).startswith(f"{effort.images} of 48 images")
    else:
        assert effort.labels > 2 * effort.asked_labels


async def test_a_push_says_the_effort_that_it_asks_of_people(home: Path, tmp_path: Path) -> None:
    """Of all annotators; a further round costs again, and an item of an older version cannot be counted."""
    dataset, rows = make_review_dataset(tmp_path, 6)
    fake = FakeLabelStudio()
    async with open_bench(home, dataset, fake, annotators=2) as bench:
        await bench.push.run(bench.review_id)
        num_labels = sum(len(row.answered_labels()) for row in rows)
        async with bench.database.reading() as session:
            view = await view_of(session, await bench.review())
        minutes = 2 * 5 * num_labels / 60
        assert view.effort == Effort(images=6, labels=num_labels, annotators=2, minutes=minutes)
        words = f"6 images with {num_labels} labels, 2 people each: about {math.ceil(minutes)} minute"
        assert f"effort       {words}" in review_text(view.model_dump(mode="json"))

        task = fake.task_of(rows[0].image_id)
        for person in (1, 2):
            fake.annotate(task, edited(shown_image(rows[0]), a=f"seen by {person}"), person=person)
        await bench.changed()
        async with bench.database.writing() as session:
            again = num_labels + len(rows[0].answered_labels())
            assert await item_repository.count_shown(session, bench.review_id) == (6, again)
            await item_repository.set_items(session, [1], num_labels=None)
            assert (await view_of(session, await bench.review())).effort is None


def test_a_pull_that_finds_nothing_says_that_webhooks_bring_annotations_too() -> None:
    nothing = {"created": 0, "updated": 0, "deleted": 0}
    assert pulled_text(nothing) == "nothing new since the last pull or webhook"
    assert pulled_text({**nothing, "created": 2}) == "2 new, 0 changed, 0 deleted annotations"
