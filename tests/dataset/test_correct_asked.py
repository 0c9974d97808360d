"""Corrections of visual examples and of answers, over moves and after other corrections."""

import pytest
from factories import make_label, make_row
from made_corrections import correct

from fo1_data.dataset.corrections.apply import apply_corrections
from schemas.images import Answer, Grounding
from schemas.labels import LabelKind

EXAMPLE = LabelKind.VISUAL_EXAMPLE


@pytest.fixture
def row():
    made = make_row(3, num_regions=3)
    first, second = (region.region_id for region in made.regions[:2])
    example = Grounding(phrase=first, kind=EXAMPLE, region_ids=[second], label=make_label(EXAMPLE, first))
    answer = Answer(question="What?", answer="a cat", label=make_label(LabelKind.ASK, "a cat"))
    return made.model_copy(update={"groundings": [example], "answers": [answer]})


def test_an_example_that_was_moved_in_an_earlier_version_is_found_by_its_new_id(row):
    """The later review names the example as its dataset does; all merge into the first one again."""
    first, third = row.regions[0].region_id, row.regions[2].region_id
    moved = correct(row, "moved", region_id=first, after={"box_xyxy": (1, 1, 30, 20)})
    now = apply_corrections(row, [moved]).row
    name = now.groundings[0].phrase
    assert name == moved.new_region_id
    later = {"kind": "visual_example", "subject": name, "at": "2026-11-25T10:00:00Z"}
    for said in (
        correct(row, "regrounded", after={"region_ids": [third]}, **later),
        correct(row, "verdict", right=True, **later),
    ):
        applied = apply_corrections(row, [moved, said])
        assert not applied.left_out
        (example,) = applied.row.groundings
        assert (example.phrase, example.label.annotator) == (name, "ada")
        assert example.region_ids == [third if said.after else row.regions[1].region_id]


def test_an_example_that_nobody_knows_is_left_out(row):
    said = correct(row, "regrounded", kind="visual_example", subject="no/1-2-3-4", after={"region_ids": []})
    applied = apply_corrections(row, [said])
    assert (applied.done, applied.left_out) == ([], [said])
    assert applied.row == row


def test_a_verdict_on_an_answer_that_was_another_by_then_is_left_out(row):
    answered = correct(row, "answered", subject="What?", after={"text": "a dog"})
    later = {"kind": "ask", "subject": "What?", "at": "2026-11-25T10:00:00Z"}
    stale = correct(row, "verdict", right=False, before={"text": "a cat"}, **later)
    applied = apply_corrections(row, [answered, stale])
    assert applied.left_out == [stale]
    assert [answer.answer for answer in applied.row.answers] == ["a dog"]
    for said in ({"text": "a cat"}, None):
        right = correct(row, "verdict", right=True, before=said, **later)
        assert apply_corrections(row, [right]).row.answers[0].label.annotator == "ada"
