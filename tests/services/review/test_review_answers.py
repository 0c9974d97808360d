"""Free questions: how reviewers see them, and what comes back of what they do."""

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from factories import make_dataset, make_row
from fake_label_studio import FakeLabelStudio
from hypothesis import given
from hypothesis import strategies as st
from review_bench import open_bench, review_rows
from review_samples import TEXTS, asked_row, older_config, shown_images

from fo1_data.dataset.corrections.apply import apply_corrections
from schemas.corrections import Correction, CorrectionAction
from schemas.images import ImageRow
from schemas.labels import Decision, LabelKind, Source
from services.label_studio.annotated import parse_result
from services.label_studio.answers import answer_entries, parse_answers
from services.label_studio.connection import LabelStudioGone
from services.label_studio.convert import result_of
from services.label_studio.labelling_config import ANSWERS, CONFIG, live_config, with_fields
from services.label_studio.shapes import box_to_percent
from services.label_studio.shown import ShownAnswer, ShownImage, box_words, unpack
from services.label_studio.shown_from_rows import only_asked, shown_image
from services.review.inbox.agreement import SAME, agreement
from services.review.inbox.differences import corrections_of, is_same
from services.review.inbox.submission import Submission

BY = Submission("key/1", "ann@example.org", "2026-01-02T03:04:05.000006Z", 12.5)
SIZE = (200, 150)
Result = list[dict[str, Any]]


@pytest.fixture
def row() -> ImageRow:
    return asked_row(make_row(5, 3, *SIZE))


@pytest.fixture
def shown(row: ImageRow) -> ShownImage:
    return shown_image(row)


def corrections_about(shown: ShownImage, result: Result, *kinds: LabelKind) -> list[Correction]:
    """The corrections of those kinds."""
    corrections = corrections_of(shown, parse_result(result, shown), BY)
    return [correction for correction in corrections if correction.kind in kinds]


def with_entries(shown: ShownImage, entries: list[str]) -> Result:
    """The result with the entries of the answers replaced; without any the field is absent."""
    result = [entry for entry in result_of(shown) if entry["from_name"] != "answers"]
    value = {"text": entries}
    field = {"id": "a", "from_name": "answers", "to_name": "image", "type": "textarea", "value": value}
    return [*result, field] if entries else result


def said_of(shown: ShownImage, entries: list[str]) -> dict[str, str | bool | None]:
    """What is said of each answer: its new text, or whether it is right."""
    corrections = corrections_about(shown, with_entries(shown, entries), LabelKind.ASK)
    return {
        correction.before.text or "": correction.after.text if correction.after else correction.right
        for correction in corrections
        if correction.before
    }


def test_every_question_is_shown_with_its_answer_and_its_box(shown: ShownImage) -> None:
    (field,) = [entry for entry in result_of(shown) if entry["from_name"] == "answers"]

    assert field["value"]["text"] == answer_entries(shown) == [
        "1. How many shapes?\nthree",
        "2. What colour is box 1 (red square)?\nred\n(a dark one)",
        "3. What colour is box 2 (green circle)?\nblue",
    ]  # fmt: skip
    for config in (CONFIG, live_config(CONFIG)):
        assert config.count('name="answers"') == 1


def test_a_question_that_does_not_name_its_region_is_shown_with_it(row: ImageRow) -> None:
    """By its caption, where there is none by its class, else by its number alone."""
    row.answers[1].question = "What\ncolour?"
    long = ("梨" * 60, None, f" ({'梨' * 40}…)")
    for caption, label, words in (
        (None, None, ""), (None, "fig", " (fig)"), ("a\npear", "fig", " (a pear)"), long
    ):  # fmt: skip
        row.regions[0].brief_caption, row.regions[0].source_label = caption, label
        row.regions[0].box_source = Source.CORPUS
        assert answer_entries(shown_image(row))[1] == f"2. box 1{words}: What colour?\nred\n(a dark one)"
    detected = {"brief_caption": None, "source_label": "fig", "box_source": Source.MODEL}
    row.regions[0] = row.regions[0].model_copy(update=detected)
    assert box_words(shown_image(row))[row.regions[0].region_id] == "box 1 (detector: fig)"
    assert "detector" not in box_words(shown_image(row, blind=True))[row.regions[0].region_id]


def test_a_changed_answer_merges_with_its_question_and_region(row: ImageRow, shown: ShownImage) -> None:
    entries = answer_entries(shown)
    entries[2] = entries[2].replace("blue", "green\nor so")

    corrections = corrections_about(shown, with_entries(shown, entries), LabelKind.ASK)

    (changed,) = [correction for correction in corrections if correction.action is CorrectionAction.ANSWERED]
    assert (changed.region_id, changed.subject) == (row.regions[1].region_id, "What colour is {region}?")
    assert (changed.before and changed.before.text, changed.after and changed.after.text) == (
        "blue",
        "green\nor so",
    )
    assert [
        (correction.action, correction.right, correction.region_id)
        for correction in corrections
        if correction.right is not None
    ] == [
        (CorrectionAction.VERDICT, True, None),
        (CorrectionAction.VERDICT, True, row.regions[0].region_id),
    ]
    applied = apply_corrections(row, corrections)
    assert not applied.left_out
    assert [answer.answer for answer in applied.row.answers] == ["three", "red\n(a dark one)", "green\nor so"]
    assert all(answer.label.annotator == "ann@example.org" for answer in applied.row.answers)


ONE, TWO, THREE = (
    "1. How many shapes?\nthree",
    "2. What colour is box 1 (red square)?\nred\n(a dark one)",
    "3. What colour is box 2 (green circle)?\nblue",
)
RIGHT: dict[str, str | bool | None] = {"three": True, "red\n(a dark one)": True, "blue": True}


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([ONE, TWO, THREE], {}),
        ([THREE, ONE, TWO], {}),
        # Emptied and deleted: nobody says what is right.
        ([], {"three": False, "red\n(a dark one)": False, "blue": False}),
        ([TWO, THREE], {"three": False}),
        (["1. How many shapes?", TWO, THREE], {"three": False}),
        (["1. How many shapes?\n \n", TWO, THREE], {"three": False}),
        # The heading changed, on one line with the answer, or gone: still the same answer.
        (["1. How many shapes are there?\nfour", TWO, THREE], {"three": "four"}),
        (["1. How many shapes? four", TWO, THREE], {"three": "four"}),
        (["1. four", TWO, THREE], {"three": "four"}),
        (["four", TWO, THREE], {"three": "four"}),
        (["3. of May", TWO, THREE], {"three": "3. of May"}),
        # Which one it is cannot be told: nothing is said of those that are missing.
        (["four", TWO], {"three": None, "blue": None}),
        ([ONE, TWO, THREE, "who asks such things?"], {}),
        ([ONE, ONE, TWO, THREE], {}),
    ],
)
def test_what_is_read_of_entries(
    shown: ShownImage, entries: list[str], said: dict[str, str | bool | None]
) -> None:
    expected = {text: right for text, right in {**RIGHT, **said}.items() if right is not None}
    assert said_of(shown, entries) == expected


@given(shown_images(), st.data())
def test_one_changed_answer_is_one_correction(shown: ShownImage, data: st.DataObject) -> None:
    """Whatever the questions and answers are: also those that look like other entries."""
    shown = shown.model_copy(update={"answers": [*shown.answers, ShownAnswer(question="Why?", answer="so")]})
    place = data.draw(st.integers(0, len(shown.answers) - 1))
    new = data.draw(TEXTS | st.sampled_from(["1. one", "a\n2. two"]))
    part = shown.answers[place]
    changed = shown.model_copy(update={"answers": list(shown.answers)})
    changed.answers[place] = part.model_copy(update={"answer": new})

    corrections = corrections_about(shown, json.loads(json.dumps(result_of(changed))), LabelKind.ASK)

    anew = [
        (correction.subject, correction.after and correction.after.text, correction.right)
        for correction in corrections
        if correction.right is not True
    ]
    emptied = not new.strip()
    expected = (part.question, None, False) if emptied else (part.question, new, None)
    assert anew == ([expected] if not is_same(part.answer, new) else [])
    assert len(corrections) == len(shown.answers)


@given(shown_images(), st.lists(TEXTS | st.sampled_from(["1.", "1. ", "2. x", "\n"]), max_size=6))
def test_any_entries_can_be_read(shown: ShownImage, entries: list[str]) -> None:
    assert set(parse_answers(entries, shown)[0]) <= set(range(len(shown.answers)))


def test_answers_follow_a_moved_region_and_go_with_a_deleted_one(row: ImageRow, shown: ShownImage) -> None:
    entries = answer_entries(shown)
    entries[1] = entries[1].partition("\n")[0] + "\npink"
    result = [entry for entry in with_entries(shown, entries) if entry["id"] != shown.regions[1].mark]
    for entry in result:
        if entry["id"] == shown.regions[0].mark:
            entry["value"] |= box_to_percent((3.25, 4.5, 60.75, 80.0), *SIZE)

    corrections = corrections_of(shown, parse_result(result, shown), BY)
    applied = apply_corrections(row, corrections)

    assert [correction.subject for correction in corrections if correction.kind is LabelKind.ASK] == [
        "How many shapes?",
        "What colour is {region}?",
    ]
    assert not applied.left_out
    assert [(answer.region_id, answer.answer) for answer in applied.row.answers] == [
        (None, "three"),
        (applied.row.regions[0].region_id, "pink"),
    ]


@pytest.mark.parametrize("answer", ["blue", "green"])
def test_a_region_called_wrong_speaks_of_its_answers(shown: ShownImage, answer: str) -> None:
    """Left alone, they are wrong with its texts; one changed, nothing is known of the others."""
    entries = answer_entries(shown)
    entries[2] = entries[2].replace("blue", answer)
    verdict = {"id": shown.regions[1].mark, "from_name": "verdict", "value": {"choices": ["wrong"]}}
    result = [*with_entries(shown, entries), verdict]

    corrections = corrections_about(shown, result, LabelKind.ASK, LabelKind.BRIEF_CAPTION)

    of_region = [
        correction for correction in corrections if correction.region_id == shown.regions[1].region_id
    ]
    if answer == "blue":
        assert [(correction.kind, correction.right) for correction in of_region] == [
            (LabelKind.BRIEF_CAPTION, False),
            (LabelKind.ASK, False),
        ]
    else:
        assert [correction.action for correction in of_region] == [CorrectionAction.ANSWERED]


def test_a_region_that_has_answers_alone_is_not_deleted_by_a_verdict(shown: ShownImage) -> None:
    regions = [region.model_copy(update={"texts": {}}) for region in shown.regions]
    shown = shown.model_copy(update={"regions": regions, "phrases": []})
    verdict = {"id": shown.regions[1].mark, "from_name": "verdict", "value": {"choices": ["wrong"]}}

    corrections = corrections_of(shown, parse_result([*result_of(shown), verdict], shown), BY)

    assert CorrectionAction.DELETED not in {correction.action for correction in corrections}
    assert [
        correction.right for correction in corrections if correction.region_id == shown.regions[1].region_id
    ] == [False]


def test_who_is_asked_of_some_answers_speaks_of_no_other(row: ImageRow) -> None:
    row.answers[0].label.decision = row.answers[2].label.decision = Decision.ACCEPT
    row.groundings[-1].label.decision = Decision.ACCEPT
    shown = shown_image(only_asked(row))

    corrections = corrections_about(shown, result_of(shown), LabelKind.ASK, LabelKind.VISUAL_EXAMPLE)

    assert [(correction.subject, correction.region_id) for correction in corrections] == [
        ("What colour is {region}?", row.regions[0].region_id)
    ]


def test_reasons_are_told_unless_the_review_is_blind(row: ImageRow) -> None:
    row.answers[0].label.reasons = ["low margin"]

    assert "How many shapes: low margin" in shown_image(row).reasons
    assert not shown_image(row, blind=True).reasons


def test_annotators_who_answer_otherwise_do_not_agree(shown: ShownImage) -> None:
    one = parse_result(with_entries(shown, [ONE, TWO, THREE]), shown)

    assert agreement(one, parse_result(with_entries(shown, [ONE.upper() + ".", TWO, THREE]), shown)) == SAME
    assert agreement(one, parse_result(with_entries(shown, [ONE, TWO, f"{THREE}r"]), shown)) < SAME


def test_what_was_packed_before_there_were_answers_is_read_as_it_was(shown: ShownImage) -> None:
    """Nothing is said of answers, whatever the annotation holds; its phrases keep their aliases."""
    document = json.loads(zlib.decompress(shown.packed()))
    del document["answers"]

    old = unpack(zlib.compress(json.dumps(document).encode()))

    assert old.answers == []
    assert not corrections_about(old, with_entries(old, [ONE]), LabelKind.ASK)
    (example,) = corrections_about(old, result_of(shown), LabelKind.VISUAL_EXAMPLE)
    assert example.right


async def test_images_added_to_an_older_review_find_a_field_for_their_answers(
    home: Path, tmp_path: Path
) -> None:
    """Once, and without touching what else people set up; where the project is gone the push says so."""
    rows = [asked_row(row) for row in review_rows(3, tmp_path / "images")]
    make_dataset(tmp_path / "d", rows)
    fake = FakeLabelStudio()
    async with open_bench(home, tmp_path / "d", fake, limit=1) as bench:
        await bench.push.run(bench.review_id)
        (project,) = fake.projects.values()
        old = project["label_config"] = older_config(project["label_config"]).replace(
            "<View", "<!-- ours --><View", 1
        )
        await bench.ask_again(tmp_path / "d", limit=2)
        await bench.push.run(bench.review_id)

        assert len(fake.tasks) == 2
        assert project["label_config"] == with_fields(old, [ANSWERS]) != old
        assert "<!-- ours -->" in project["label_config"]
        fake.requests.clear()
        await bench.ask_again(tmp_path / "d", limit=3)
        await bench.push.run(bench.review_id)
        assert (len(fake.tasks), project["label_config"]) == (3, with_fields(old, [ANSWERS]))

        fake.projects.clear()
        await bench.ask_again(tmp_path / "d")
        with pytest.raises(LabelStudioGone):
            await bench.push.run(bench.review_id)


async def test_answers_come_back_once(home: Path, tmp_path: Path) -> None:
    """By two annotators of whom one answers otherwise, pulled twice, submitted again."""
    rows = [asked_row(row) for row in review_rows(1, tmp_path / "images")]
    make_dataset(tmp_path / "d", rows)
    fake = FakeLabelStudio()
    async with open_bench(home, tmp_path / "d", fake, annotators=2) as bench:
        await bench.push.run(bench.review_id)
        (task,) = fake.tasks.values()
        result = json.loads(json.dumps(task["predictions"][0]["result"]))
        (field,) = [entry for entry in result if entry["from_name"] == "answers"]
        field["value"]["text"][0] = "1. How many shapes?\nfour"
        fake.annotate(task, person=1)
        number = fake.annotate(task, result, person=2)
        for _ in range(2):
            await bench.changed()
        everyone = [
            correction
            for correction in await bench.corrections(everyone=True)
            if correction.kind is LabelKind.ASK
        ]
        holds = [correction for correction in await bench.corrections() if correction.kind is LabelKind.ASK]

        assert [correction.action for correction in holds].count(CorrectionAction.ANSWERED) == 1
        assert (len(everyone), len(holds)) == (6, 3)
        field["value"]["text"][0] = "1. How many shapes?\nthree"
        fake.change(task, number, result=result)
        await bench.changed()
        again = [correction for correction in await bench.corrections() if correction.kind is LabelKind.ASK]
        assert [correction.right for correction in again] == [True] * 3


def test_the_field_of_answers_is_added_to_an_older_configuration() -> None:
    for config in (CONFIG, live_config(CONFIG)):
        assert 'name="answers"' not in older_config(config)
        assert with_fields(older_config(config), [ANSWERS]).count('name="answers"') == 1
        assert with_fields(config, [ANSWERS]) == config
