"""What is absent from an annotation is not taken for a statement, and what was set aside can be taken in."""

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from review_bench import Bench, make_review_dataset, open_review
from review_samples import edited, make_shown, shown_images

from schemas.corrections import Correction, CorrectionAction
from schemas.images import ImageRow
from schemas.reviews import AnnotationState, AsideReason, ItemState
from services.label_studio.convert import result_of
from services.label_studio.fields import ProjectFields, parse_fields
from services.label_studio.labelling_config import CONFIG
from services.label_studio.shown import ShownImage, fields_of
from services.label_studio.shown_from_rows import shown_image
from services.problems import Problem
from services.review import annotation_repository, item_repository, repository
from services.review.inbox.annotations import judge_annotation, looked_at_annotation
from services.review.inbox.belief import Origin
from services.review.inbox.look import take_in_annotations
from services.review.inbox.submission import Submission

BY = Submission("key/1", "ann@example.org", "2026-01-02T03:04:05.000006Z", 12.5)
PUSHED = parse_fields(CONFIG)
AS_PUSHED = ProjectFields(PUSHED, PUSHED)
UNREADABLE: list[Any] = [None, 7, "x", [], {}, {"x": "1"}, [None], {"text": [None]}, {"choices": ["?"]}]


@st.composite
def damages(draw: Any, shown: ShownImage) -> tuple[list[Any], ProjectFields]:
    """A result as a reviewer leaves it without an edit, damaged, and the fields of the project."""
    result: list[Any] = copy.deepcopy(result_of(shown))
    fields = AS_PUSHED
    kind = draw(st.sampled_from(["value", "entry", "box", "field", "renamed", "begun"]))
    place = draw(st.integers(0, len(result) - 1))
    name = result[place]["from_name"]
    if kind == "value":
        result[place]["value"] = draw(st.sampled_from(UNREADABLE))
    elif kind == "entry":
        result[place] = draw(st.sampled_from([None, 7, "x", [], {**result[place], "from_name": None}]))
    elif kind == "box":
        ids = [entry["id"] for entry in result if entry["from_name"] != "box"]
        result = [entry for entry in result if entry["from_name"] != "box" or entry["id"] not in ids[:1]]
    elif kind == "field":
        result = [entry for entry in result if entry["from_name"] != name]
        fields = ProjectFields({key: part for key, part in PUSHED.items() if key != name}, PUSHED)
    elif kind == "renamed":
        for entry in result:
            entry["from_name"] = "other" if entry["from_name"] == name else entry["from_name"]
        fields = ProjectFields({key: part for key, part in PUSHED.items() if key != name}, PUSHED)
    else:
        result = []
    return result, fields


@settings(max_examples=120, deadline=None)
@given(st.data(), shown_images())
def test_no_damage_says_what_the_reviewer_did_not(data: st.DataObject, shown: ShownImage) -> None:
    """Everything was left as it was: nothing is deleted, emptied, wrong; nor right, unless all was read."""
    assume(result_of(shown))
    result, fields = data.draw(damages(shown))
    undamaged = result == result_of(shown)

    judged = judge_annotation(shown.packed(), result, BY, Origin(fields))

    assert judged.state in (AnnotationState.SET_ASIDE, AnnotationState.UNREADABLE) or undamaged
    assert not judged.corrections or undamaged
    if judged.state == AnnotationState.SET_ASIDE and judged.reason != AsideReason.NOT_BEGUN:
        after = looked_at_annotation(shown.packed(), result, BY, judged.changed_fields).corrections
        assert [part for part in after if not _is_said_by_an_untouched_task(part)] == []


def _is_said_by_an_untouched_task(correction: Correction) -> bool:
    """Return whether it confirms, or is about a shape in a field of another name."""
    return correction.right is True or correction.action is CorrectionAction.ADDED


@given(shown_images())
def test_fields_that_hold_nothing_of_an_image_do_not_matter(shown: ShownImage) -> None:
    used = fields_of(shown) | {"box", "verdict"}
    fields = ProjectFields({name: part for name, part in PUSHED.items() if name in used}, PUSHED)
    assert fields.changed_of(shown, ()) == frozenset()


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ('name="brief_caption"', 'name="short"', {"brief_caption"}),
        ('<Choice value="wrong"', '<Choice value="incorrect"', {"verdict"}),
        ('<Choice value="wrong"', '<Choice value="perhaps"/><Choice value="wrong"', set()),
        ('<Label value="region"', '<Label value="thing"', {"box", "region_mask"}),
        ('<RectangleLabels name="box"', '<PolygonLabels name="box"', {"box"}),
        ("</View>", "</Viev>", set(PUSHED) - {"comment"}),
    ],
)
def test_what_is_a_change_of_fields(before: str, after: str, changed: set[str]) -> None:
    assert before in CONFIG
    config = CONFIG.replace(before, after).replace("</PolygonLabels", "</RectangleLabels")
    if "PolygonLabels" in config:
        config = config.replace("</RectangleLabels>", "</PolygonLabels>")
    assert ProjectFields(parse_fields(config), PUSHED).changed() == changed


@pytest.fixture
def dataset(tmp_path: Path) -> tuple[Path, list[ImageRow]]:
    return make_review_dataset(tmp_path, 3)


async def aside(bench: Bench) -> list[tuple[str, dict[str, int]]]:
    """Return reason and effects of the annotations set aside."""
    async with bench.database.reading() as session:
        rows = await annotation_repository.list_set_aside(session, bench.review_id, None, None, 99)
    return [(row.reason or "", row.effects or {}) for row, _ in rows]


async def look(bench: Bench, *ids: int, reason: AsideReason | None = None) -> int:
    """Somebody takes annotations in."""
    async with bench.database.writing() as session:
        review = await repository.lock_review(session, bench.review_id)
        assert review is not None
        return await take_in_annotations(session, review, "key_1", list(ids) or None, reason)


async def test_a_blank_annotation_says_nothing_until_it_is_taken_in(
    home: Path, dataset: tuple[Path, list[ImageRow]], database_url: str | None
) -> None:
    async with open_review(home, dataset, database_url=database_url) as (bench, fake):
        task = fake.task_of(dataset[1][0].image_id)
        number = fake.annotate(task, [], parent_prediction=None)
        await bench.changed()
        assert await bench.annotations() == {"set_aside": 1}
        assert await aside(bench) == [("not_begun", {"deleted": 2})]
        assert await bench.corrections(everyone=True) == []

        assert await look(bench, number) == 1
        assert {part.action for part in await bench.corrections()} == {CorrectionAction.DELETED}
        await bench.changed()
        assert await bench.annotations() == {"submitted": 1}
        with pytest.raises(Problem, match="is not set aside"):
            await look(bench, number)

        # A later change of it needs another look.
        fake.change(task, number, result=[])
        await bench.changed()
        assert await bench.annotations() == {"set_aside": 1}
        assert [part.action for part in await bench.corrections()] == [CorrectionAction.WITHDRAWN]


async def test_predictions_made_annotations_in_bulk_are_taken_in_at_once(
    home: Path, dataset: tuple[Path, list[ImageRow]]
) -> None:
    async with open_review(home, dataset) as (bench, fake):
        for task, seconds in zip(list(fake.tasks.values()), (None, 0, 0.0), strict=True):
            fake.annotate(task, lead_time=seconds)
        await bench.changed()
        assert [reason for reason, _ in await aside(bench)] == ["in_bulk"] * 3
        assert await look(bench, reason=AsideReason.IN_BULK) == 3
        assert {part.right for part in await bench.corrections()} == {True}


async def test_another_prediction_beside_the_pushed_one_proves_nothing(
    home: Path, dataset: tuple[Path, list[ImageRow]]
) -> None:
    async with open_review(home, dataset) as (bench, fake):
        task = fake.task_of(dataset[1][0].image_id)
        task["predictions"].append({"model_version": "somebody-elses", "result": []})
        fake.annotate(task, [])
        await bench.changed()
        assert [reason for reason, _ in await aside(bench)] == ["not_begun"]


async def test_a_field_that_comes_back_does_not_empty_what_was_lost_with_it(
    home: Path, dataset: tuple[Path, list[ImageRow]]
) -> None:
    """Removed and seen so; restored before an annotation of the time in between is read; submitted again."""
    rows = dataset[1]
    async with open_review(home, dataset) as (bench, fake):
        (project,) = fake.projects.values()
        original = project["label_config"]
        project["label_config"] = original.replace('name="brief_caption"', 'name="short"')
        first, second = (fake.task_of(row.image_id) for row in rows[:2])
        without = [
            [entry for entry in result_of(shown_image(row)) if entry["from_name"] != "brief_caption"]
            for row in rows[:2]
        ]
        number = fake.annotate(first, without[0])
        await bench.changed()
        assert (await bench.review()).changed_fields == ["brief_caption"]
        fake.annotate(second, without[1])
        project["label_config"] = original
        await bench.changed()
        assert [reason for reason, _ in await aside(bench)] == ["other_fields"] * 2
        assert (await bench.review()).changed_fields is None

        fake.change(first, number, result=without[0])
        await bench.changed()
        assert [reason for reason, _ in await aside(bench)] == ["other_fields"] * 2
        fake.change(first, number, result=edited(shown_image(rows[0]), a="a new one"))
        await bench.changed()
        assert await bench.edits() == ["a new one"]
        fake.annotate(fake.task_of(rows[2].image_id), edited(shown_image(rows[2]), a="as ever"))
        await bench.changed()
        assert await bench.edits() == ["a new one", "as ever"]


async def test_what_added_controls_hold_is_told(home: Path, dataset: tuple[Path, list[ImageRow]]) -> None:
    async with open_review(home, dataset) as (bench, fake):
        task = fake.task_of(dataset[1][0].image_id)
        brush = {"id": "x", "from_name": "mask", "type": "brushlabels", "value": {"rle": [1]}}
        fake.annotate(task, [*task["predictions"][0]["result"], brush])
        await bench.changed()
        assert await bench.annotations() == {"submitted": 1}
        async with bench.database.reading() as session:
            ignored = await annotation_repository.count_ignored(session, bench.review_id)
        assert ignored == {"mask (brushlabels)": 1}


async def test_annotations_of_deleted_accounts_keep_their_names_and_their_votes(
    home: Path, dataset: tuple[Path, list[ImageRow]]
) -> None:
    rows = dataset[1]
    async with open_review(home, dataset, annotators=2) as (bench, fake):
        task = fake.task_of(rows[0].image_id)
        ids = [fake.annotate(task, edited(shown_image(rows[0]), a="one"), person=n) for n in (1, 2)]
        await bench.changed()
        for annotation in task["annotations"]:
            annotation["completed_by"] = None
        fake.change(task, ids[1], result=edited(shown_image(rows[0]), a="two"))
        late = fake.task_of(rows[1].image_id)
        for text in ("three", "four"):
            fake.annotate(late, edited(shown_image(rows[1]), a=text), completed_by=None)
        await bench.changed()
        names = sorted(row.annotator for row in await _annotations(bench))
        assert names[2:] == ["person1@example.org", "person2@example.org"]
        assert all(name.startswith("deleted account") for name in names[:2])
        assert names[0] != names[1]


async def _annotations(bench: Bench) -> list[Any]:
    async with bench.database.reading() as session:
        items = await item_repository.items_in_state(session, bench.review_id, ItemState.SENT, 99)
        return list(await annotation_repository.annotations_of_items(session, [item.id for item in items]))


def test_a_wrong_without_the_field_of_its_text_deletes_no_box() -> None:
    shown = make_shown(phrases=[])
    result = [entry for entry in result_of(shown) if entry["from_name"] != "brief_caption"]
    value = {"choices": ["wrong"]}
    result.append({"id": shown.regions[0].mark, "from_name": "verdict", "type": "choices", "value": value})
    after = looked_at_annotation(shown.packed(), result, BY, ["brief_caption"]).corrections
    assert {part.action for part in after} == {CorrectionAction.VERDICT}
    assert all(part.right for part in after)


@pytest.mark.parametrize(("name", "text"), [("image_caption", "other shapes"), ("counts", "shape = 3")])
def test_a_text_of_the_image_that_is_there_twice_says_nothing(name: str, text: str) -> None:
    shown = make_shown()
    result = result_of(shown)
    second = next(entry for entry in result if entry["from_name"] == name)
    result.append({**second, "value": {"text": [text]}})
    judged = judge_annotation(shown.packed(), result, BY, Origin(AS_PUSHED))
    assert judged.reason is AsideReason.PARTLY_READ

    taken_in = looked_at_annotation(shown.packed(), result, BY, judged.changed_fields).corrections

    assert taken_in
    assert all(part.right for part in taken_in)
