"""Tasks whose answer is known measure the reviewers; who is below the bound is not taken at their word."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from factories import make_dataset, make_row
from fake_label_studio import FakeLabelStudio
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from review_bench import Bench, make_review_dataset, open_bench
from review_samples import edited, make_shown
from running_service import make_settings, run_app
from sqlalchemy import select

from fo1_data.cli.review import review_text
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.versions.merge import merge_corrections
from fo1_data.errors import ConfigError
from schemas.corrections import Correction, CorrectionAction
from schemas.images import ImageRow
from schemas.labels import LabelKind
from schemas.regions import make_region_id
from schemas.reviews import ReviewOptions
from services.database.review_tables import ReviewItem
from services.label_studio.annotated import parse_result
from services.label_studio.convert import result_of
from services.label_studio.shown import ShownImage, unpack
from services.label_studio.shown_from_rows import shown_image
from services.problems import Problem
from services.review.honeypots.draw import HoneypotSource
from services.review.honeypots.known import KnownAnswers, KnownText, score_annotation, unpack_known
from services.review.honeypots.standing import AnnotatorFigures, interval
from services.review.outbox.plan import plan_items
from services.review.views import ReviewView, view_of

NUM_IMAGES, NUM_REGIONS = 16, 4
GOOD, BAD, SECOND = 1, 2, 3
CAPTION = LabelKind.BRIEF_CAPTION


@pytest.fixture
def dataset(tmp_path: Path) -> tuple[Path, list[ImageRow]]:
    return make_review_dataset(tmp_path, NUM_IMAGES, NUM_REGIONS)


@pytest.fixture
def gold(tmp_path: Path, dataset: tuple[Path, list[ImageRow]]) -> Path:
    """Of every other image the model's captions are wrong."""
    path = tmp_path / "gold.jsonl"
    path.write_text("".join(json.dumps(gold_of(row, i % 2 == 1)) + "\n" for i, row in enumerate(dataset[1])))
    return path


def gold_of(row: ImageRow, is_wrong: bool) -> dict[str, Any]:
    regions = [
        {"box_xyxy": region.box_xyxy, "caption": "another thing" if is_wrong else region.brief_caption}
        for region in row.regions
    ]
    return {"image": row.uri, "width": row.width, "height": row.height, "regions": regions}


@asynccontextmanager
async def pushed(
    home: Path, dataset: Path, gold: Path | None, **options: Any
) -> AsyncIterator[tuple[Bench, FakeLabelStudio]]:
    fake = FakeLabelStudio()
    given_options = {"honeypots": 0.5, "honeypot_gold": str(gold) if gold else None, **options}
    async with open_bench(home, dataset, fake, **given_options) as bench:
        await bench.push.run(bench.review_id)
        yield bench, fake


async def honeypots_of(bench: Bench) -> dict[str, tuple[ShownImage, KnownAnswers]]:
    query = select(ReviewItem).where(ReviewItem.review_id == bench.review_id, ReviewItem.known.is_not(None))
    async with bench.database.reading() as session:
        items = (await session.scalars(query)).all()
    return {item.image_id: (unpack(item.shown), unpack_known(item.known or b"")) for item in items}


def right_answer(shown: ShownImage, known: KnownAnswers) -> list[dict[str, Any]]:
    return edited(shown, **{mark: kinds[CAPTION].equal[0] for mark, kinds in known.texts.items()})


async def view(bench: Bench) -> ReviewView:
    review = await bench.review()
    async with bench.database.reading() as session:
        return await view_of(session, review)


def figures_of(view: ReviewView, person: int) -> AnnotatorFigures:
    return next(figures for figures in view.annotators if figures.annotator.startswith(f"person{person}@"))


async def test_a_share_of_tasks_is_known_and_looks_like_the_others(
    home: Path, dataset: tuple[Path, list[ImageRow]], gold: Path
) -> None:
    async with pushed(home, dataset[0], gold, honeypots=0.2) as (bench, fake):
        honeypots = await honeypots_of(bench)
        assert len(honeypots) == NUM_IMAGES / 4
        assert sum(known.is_wrong(shown) for shown, known in honeypots.values()) == len(honeypots) / 2
        assert len(fake.tasks) == NUM_IMAGES
        keys = {json.dumps(sorted(task["data"])) for task in fake.tasks.values()}
        assert len(keys) == 1
        for row in dataset[1]:
            assert fake.task_of(row.image_id)["data"].get("reasons") in (None, "", [])
        order = [task["data"]["image_id"] in honeypots for task in fake.tasks.values()]
        assert any(order[: len(order) // 2])
        assert any(order[len(order) // 2 :])
        assert (await view(bench)).honeypots == len(honeypots)


async def test_a_limit_leaves_honeypots_their_share(
    home: Path, dataset: tuple[Path, list[ImageRow]], gold: Path
) -> None:
    async with pushed(home, dataset[0], gold, honeypots=0.5, limit=4) as (bench, fake):
        assert (len(fake.tasks), len(await honeypots_of(bench))) == (4, 2)
        await bench.ask_again(dataset[0], limit=8)
        await bench.push.run(bench.review_id)
        # What was pushed as any other task stays one, so that there may be fewer than four.
        assert len(fake.tasks) == 8
        assert 2 <= len(await honeypots_of(bench)) <= 4


def test_honeypots_are_a_share_of_the_parts_of_large_images(tmp_path: Path) -> None:
    rows = [make_row(seed, 1, folder=tmp_path) for seed in range(6)]
    large = make_row(6, 40, folder=tmp_path)
    large.width = large.height = 12_000
    boxes = [(i % 8 * 1500.0, i // 8 * 1500.0, i % 8 * 1500.0 + 9, i // 8 * 1500.0 + 9) for i in range(40)]
    for region, box in zip(large.regions, boxes, strict=True):
        region.region_id, region.box_xyxy = make_region_id(large.image_id, box), box
    make_dataset(tmp_path / "d", [*rows, large])
    gold = tmp_path / "gold.jsonl"
    gold.write_text("".join(json.dumps(gold_of(row, False)) + "\n" for row in rows))
    options = ReviewOptions(honeypots=0.125, honeypot_gold=str(gold))

    items = [item for batch in plan_items(str(tmp_path / "d"), "rev", "key", options) for item in batch]

    num_honeypots = sum(item["known"] is not None for item in items)
    assert (len(items), num_honeypots) == (47, 6)


def test_where_every_task_shows_everything_honeypots_do_too(tmp_path: Path) -> None:
    rows = [make_row(seed, 2, folder=tmp_path) for seed in range(4)]
    make_dataset(tmp_path / "d", rows)
    gold = tmp_path / "gold.jsonl"
    gold.write_text("".join(json.dumps(gold_of(row, False)) + "\n" for row in rows))
    options = ReviewOptions(honeypots=0.5, honeypot_gold=str(gold), asked_only=True)

    items = [item for batch in plan_items(str(tmp_path / "d"), "rev", "key", options) for item in batch]

    assert {item["known"] is None for item in items} == {True, False}
    assert all(unpack(item["shown"]).phrases for item in items)


async def test_each_annotators_accuracy_is_told_with_its_interval(
    home: Path, dataset: tuple[Path, list[ImageRow]], gold: Path
) -> None:
    async with pushed(home, dataset[0], gold) as (bench, fake):
        honeypots = await honeypots_of(bench)
        for image_id, (shown, known) in honeypots.items():
            fake.annotate(fake.task_of(image_id), right_answer(shown, known), GOOD)
            fake.annotate(fake.task_of(image_id), None, BAD)  # confirms whatever is shown
        await bench.changed()
        assert await bench.corrections(everyone=True) == []
        told = await view(bench)
        good, bad = figures_of(told, GOOD), figures_of(told, BAD)
        num = len(honeypots) * NUM_REGIONS
        assert (good.right, good.answers, good.accuracy, good.held) == (num, num, 1.0, False)
        assert (bad.right, bad.answers, bad.accuracy) == (num / 2, num, 0.5)
        assert 0 < bad.low < 0.5 < bad.high < 1
        assert not bad.held  # no bound is set


async def test_below_the_bound_corrections_wait_for_a_second_reader(
    home: Path, tmp_path: Path, dataset: tuple[Path, list[ImageRow]], gold: Path
) -> None:
    address, rows = dataset
    async with pushed(home, address, gold, hold_below=0.8) as (bench, fake):
        honeypots = await honeypots_of(bench)
        first, second, *_ = [row for row in rows if row.image_id not in honeypots]
        fake.annotate(fake.task_of(first.image_id), edited(shown_image(first), a="by the bad one"), BAD)
        fake.annotate(fake.task_of(second.image_id), edited(shown_image(second), a="by the good one"), GOOD)
        await bench.changed()
        # Nobody is known to be bad yet: both count, and are merged.
        assert await bench.edits() == ["by the bad one", "by the good one"]
        merge(address, tmp_path / "v2", await bench.corrections())

        for image_id, (shown, known) in honeypots.items():
            fake.annotate(fake.task_of(image_id), None, BAD)
            fake.annotate(fake.task_of(image_id), right_answer(shown, known), GOOD)
        await bench.changed()
        assert await bench.edits() == ["by the good one"]
        assert CorrectionAction.WITHDRAWN in {c.action for c in await bench.corrections()}
        told = await view(bench)
        assert (told.held_back, figures_of(told, BAD).held, figures_of(told, GOOD).held) == (1, True, False)

        # The same image waits for a second reader, and the bad one is not that.
        await bench.push.run(bench.review_id)
        again = fake.task_of(first.image_id)
        assert again["annotations"] == []
        fake.annotate(again, edited(shown_image(first), a="by the bad one, twice"), BAD)
        await bench.changed()
        assert await bench.edits() == ["by the good one"]
        await bench.push.run(bench.review_id)
        fake.annotate(fake.task_of(first.image_id), edited(shown_image(first), a="by the second"), SECOND)
        await bench.changed()
        assert await bench.edits() == ["by the good one", "by the second"]
        assert (await view(bench)).held_back == 0


async def test_status_api_and_dashboard_show_it(
    home: Path, dataset: tuple[Path, list[ImageRow]], gold: Path
) -> None:
    address, rows = dataset
    async with pushed(home, address, gold, hold_below=0.8) as (bench, fake):
        honeypots = await honeypots_of(bench)
        row = next(row for row in rows if row.image_id not in honeypots)
        fake.annotate(fake.task_of(row.image_id), edited(shown_image(row), a="held"), BAD)
        for image_id in honeypots:
            fake.annotate(fake.task_of(image_id), None, BAD)
        await bench.changed()
    async with run_app(make_settings(home)) as service:
        (review,) = (await service.client.get("/v1/reviews")).json()["items"]
        await service.client.post("/login", data={"key": service.keys["admin"]})
        page = (await service.client.get("/reviews", headers={"Accept": "text/html"})).text
    told = "16 of 32 known answers right, 50"
    status = review_text(review)
    assert told in page
    assert told in status
    assert "corrections held back" in page
    assert "corrections held back" in status
    assert "1 image waits for a second reader" in status
    assert "held back for a second reader" in page


async def test_gold_of_honeypots_lies_within_the_storage_roots(
    home: Path, dataset: tuple[Path, list[ImageRow]]
) -> None:
    settings = make_settings(home, label_studio_url="http://127.0.0.1:9", label_studio_token="t" * 40)
    async with run_app(settings) as service:

        async def push(**options: Any) -> int:
            body = {"dataset": str(dataset[0]), "honeypots": 0.1, **options}
            return (await service.client.post("/v1/reviews", json=body)).status_code

        assert await push(honeypot_gold="/etc/passwd") == 403
        assert await push(honeypot_gold=str(home.parent / "none.jsonl")) == 404
        assert await push(blind=False) == 422
        assert await push() == 201


async def test_who_rises_above_the_bound_counts_again(
    home: Path, dataset: tuple[Path, list[ImageRow]], gold: Path
) -> None:
    address, rows = dataset
    async with pushed(home, address, gold, hold_below=0.8) as (bench, fake):
        honeypots = await honeypots_of(bench)
        row = next(row for row in rows if row.image_id not in honeypots)
        fake.annotate(fake.task_of(row.image_id), edited(shown_image(row), a="held"), BAD)
        numbers = {image_id: fake.annotate(fake.task_of(image_id), None, BAD) for image_id in honeypots}
        await bench.changed()
        assert await bench.edits() == []
        for image_id, (shown, known) in honeypots.items():
            fake.change(fake.task_of(image_id), numbers[image_id], result=right_answer(shown, known))
        await bench.changed()
        assert await bench.edits() == ["held"]
        assert (await view(bench)).held_back == 0


async def test_what_people_corrected_before_is_known(
    home: Path, tmp_path: Path, dataset: tuple[Path, list[ImageRow]]
) -> None:
    """The honeypot shows what the model had said, not what people made of it."""
    address, rows = dataset
    async with pushed(home / "first", address, None, honeypots=None) as (bench, fake):
        for row in rows[:3]:
            fake.annotate(fake.task_of(row.image_id), edited(shown_image(row), a="by a person"), GOOD)
        await bench.changed()
        version = merge(address, tmp_path / "v2", await bench.corrections())
    async with pushed(home / "second", version, None) as (bench, fake):
        honeypots = await honeypots_of(bench)
        assert set(honeypots) == {row.image_id for row in rows[:3]}
        for row in rows[:3]:
            shown, known = honeypots[row.image_id]
            assert [region.texts for region in shown.regions] == [
                region.texts for region in shown_image(row, blind=True).regions
            ]
            assert known.texts[shown.regions[0].mark][CAPTION].equal == ["by a person"]
            assert known.is_wrong(shown)


def merge(address: Path, out: Path, corrections: Iterable[Correction]) -> Path:
    merge_corrections(str(address), list(corrections), str(out))
    return out


async def test_options_stay_unless_a_push_names_others(
    home: Path, dataset: tuple[Path, list[ImageRow]], gold: Path
) -> None:
    async with pushed(home, dataset[0], gold, hold_below=0.8) as (bench, fake):
        num_tasks = len(fake.tasks)
        await bench.ask_again(dataset[0])
        await bench.push.run(bench.review_id)
        options = (await bench.review()).options
        assert (options.honeypots, options.hold_below, options.blind) == (0.5, 0.8, True)
        assert len(fake.tasks) == num_tasks
    async with pushed(home / "other", dataset[0], None, honeypots=None) as (bench, _):
        with pytest.raises(Problem, match="blind"):
            await bench.ask_again(dataset[0], honeypots=0.1, honeypot_gold=str(gold))


def test_an_image_that_is_reviewed_in_parts_is_no_honeypot(
    dataset: tuple[Path, list[ImageRow]], gold: Path
) -> None:
    options = ReviewOptions(honeypots=0.2, honeypot_gold=str(gold), blind=True)
    source = HoneypotSource(open_dataset(str(dataset[0])), options)
    known = [row for row in dataset[1] if source.find(row) is not None]

    assert known
    assert all(source.find(row.model_copy(update={"width": 20_000})) is None for row in known)


def test_honeypots_need_known_answers_and_a_blind_review(dataset: tuple[Path, list[ImageRow]]) -> None:
    with pytest.raises(ConfigError, match="no image of the dataset has a known answer"):
        list(plan_items(str(dataset[0]), "rev_1", "key", ReviewOptions(honeypots=0.1)))
    with pytest.raises(ValidationError, match="blind"):
        ReviewOptions(honeypots=0.1, blind=False)


# --- judging


SHOWN = make_shown()
MARKS = [region.mark for region in SHOWN.regions]


@pytest.mark.parametrize(
    ("known", "said", "right"),
    [
        (KnownText(equal=["A red square."]), "a red  square", True),
        (KnownText(equal=["a red square"]), "a red circle", False),
        (KnownText(equal=["square"], words=["square"]), "a red square", True),
        (KnownText(equal=["square"], words=["square"]), "a red circle", False),
    ],
)
def test_texts_are_compared_by_their_words(known: KnownText, said: str, right: bool) -> None:
    assert known.is_right(CAPTION, said) is right


def test_deleting_and_calling_wrong_are_answers() -> None:
    mark, text = MARKS[0], SHOWN.regions[0].texts[CAPTION]
    right = KnownAnswers(texts={mark: {CAPTION: KnownText(equal=[text])}})
    wrong = KnownAnswers(texts={mark: {CAPTION: KnownText(equal=["something else"])}})
    kept = parse_result(result_of(SHOWN), SHOWN)
    assert [score_annotation(known, SHOWN, kept).right for known in (right, wrong)] == [1, 0]
    assert (right.is_wrong(SHOWN), wrong.is_wrong(SHOWN)) == (False, True)
    kept.regions[mark].verdict = False
    assert [score_annotation(known, SHOWN, kept).right for known in (right, wrong)] == [0, 1]
    del kept.regions[mark]
    assert [score_annotation(known, SHOWN, kept) for known in (right, wrong)] == [
        score_annotation(wrong, SHOWN, kept)
    ] * 2
    assert score_annotation(right, SHOWN, kept).right == 0
    kept.marks_not_read.add(mark)
    assert score_annotation(right, SHOWN, kept).asked == 0


@given(st.integers(0, 200), st.integers(0, 200))
def test_the_interval_holds_the_share_and_narrows(right: int, wrong: int) -> None:
    low, high = interval(right, right + wrong)
    share = right / (right + wrong) if right + wrong else 0.5
    assert 0 <= low <= share <= high <= 1
    wide = interval(right, right + wrong)
    narrow = interval(4 * right, 4 * (right + wrong))
    assert narrow[1] - narrow[0] <= wide[1] - wide[0] + 1e-12
