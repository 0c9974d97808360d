"""A corrected row holds what people said of it, whatever the order they said it in."""

import json

import pytest
from accepted_parts import accepted_part
from factories import make_count, make_label, make_row
from hypothesis import given, settings
from hypothesis import strategies as st
from made_corrections import AT, correct, corrections_of

from fo1_data.dataset.corrections.apply import apply_corrections
from fo1_data.dataset.human_labels import is_locked, is_stale
from fo1_data.dataset.row_problems import row_problems
from fo1_data.dataset.rows import rows_to_table, table_to_rows
from fo1_data.dataset.versions.compare import differing_columns
from schemas.images import Grounding
from schemas.labels import Decision, LabelKind, Source


@pytest.fixture
def row():
    made = make_row(3, num_regions=3, decisions=[Decision.REVIEW, Decision.ACCEPT, Decision.REVIEW])
    return made.model_copy(update={"counts": [make_count(made.regions)]})


def test_a_moved_box_takes_its_name_along(row):
    old = row.regions[0].region_id
    box = (1.0, 1.0, 30.5, 20.0)
    moved = correct(row, "moved", region_id=old, after={"box_xyxy": box})
    after = apply_corrections(row, [moved]).row
    assert after.regions[0].box_xyxy == box
    assert after.regions[0].box_source is Source.HUMAN
    assert after.groundings[0].region_ids == [moved.new_region_id] == [after.regions[0].region_id]
    assert is_stale(after.regions[0].labels[0])
    assert after.regions[0].decision is Decision.REVIEW
    assert not list(row_problems(after))


def test_what_is_said_of_a_moved_region_finds_it_by_either_name(row):
    old = row.regions[0].region_id
    moved = correct(row, "moved", region_id=old, after={"box_xyxy": (1, 1, 30, 20)})
    for name in (old, moved.new_region_id):
        said = correct(row, "recaptioned", region_id=name, kind="brief_caption", after={"text": "a whale"})
        region = apply_corrections(row, [said, moved]).row.regions[0]
        assert region.brief_caption == "a whale"
        assert region.labels[-1].source is Source.HUMAN
        assert region.labels[-1].annotator == "ada"
        assert any(AT[:19] in reason for reason in region.labels[-1].reasons)
        assert region.decision is Decision.ACCEPT


def test_what_the_source_says_of_a_region_stays_with_it(row):
    meta = {"licence": 3, "region_meta": [{"iscrowd": 1}, {"id": 2}, {"id": 3}]}
    row = row.model_copy(update={"meta": json.dumps(meta)})
    first, second, _ = (region.region_id for region in row.regions)
    changes = [
        correct(row, "added", after={"box_xyxy": (2, 3, 11, 12)}),
        correct(row, "deleted", region_id=first),
        correct(row, "moved", region_id=second, after={"box_xyxy": (1, 1, 30, 20)}),
    ]
    after = apply_corrections(row, changes).row
    assert len(after.regions) == 3
    assert json.loads(after.meta) == {"licence": 3, "region_meta": [{"id": 2}, {"id": 3}, {}]}
    untouched = correct(row, "recaptioned", region_id=first, kind="ocr", after={"text": "EXIT"})
    assert apply_corrections(row, [untouched]).row.meta == row.meta


def test_added_and_deleted_regions(row):
    gone = row.regions[0].region_id
    added = correct(row, "added", after={"box_xyxy": (2, 3, 11, 12)})
    said = correct(
        row, "recaptioned", region_id=added.new_region_id, kind="brief_caption", after={"text": "new"}
    )
    after = apply_corrections(row, [said, correct(row, "deleted", region_id=gone), added]).row
    assert [region.brief_caption for region in after.regions][-1] == "new"
    assert gone not in {region.region_id for region in after.regions}
    assert after.groundings[0].region_ids == []
    assert after.counts[0].count == 2
    assert not list(row_problems(after))


def test_verdicts_confirm_or_take_away(row):
    first, second = row.regions[0], row.regions[1]
    right = correct(
        row, "verdict", region_id=first.region_id, kind="brief_caption", right=True,
        before={"text": first.brief_caption},
    )  # fmt: skip
    wrong = correct(row, "verdict", region_id=second.region_id, kind="brief_caption", right=False)
    other = correct(
        row, "verdict", region_id=row.regions[2].region_id, kind="brief_caption", right=False,
        before={"text": "what it never said"},
    )  # fmt: skip
    applied = apply_corrections(row, [right, wrong, other])
    after = applied.row.regions
    assert after[0].labels[0].decision is Decision.ACCEPT
    assert is_locked(after[0].labels[0])
    assert after[0].labels[0].source is Source.MODEL
    assert after[1].brief_caption is None
    assert after[1].labels == []
    assert after[2] == row.regions[2]
    assert applied.left_out == [other]


def test_phrases_counts_and_classes(row):
    ids = [region.region_id for region in row.regions]
    changes = [
        correct(row, "regrounded", subject="a red square", after={"region_ids": ids[1:]}),
        correct(row, "regrounded", subject="a yeti", after={"region_ids": []}),
        correct(row, "recounted", subject="shape", after={"count": 7}),
        correct(row, "renamed", region_id=ids[2], after={"text": "cat"}),
        correct(row, "answered", subject="What is it?", after={"text": "a cat"}),
    ]
    after = apply_corrections(row, changes).row
    pointed = {(part.kind, part.phrase): part for part in after.groundings}
    assert pointed[LabelKind.GROUND, "a red square"].region_ids == ids[1:]
    assert pointed[LabelKind.GROUND, "a yeti"].region_ids == []
    assert pointed[LabelKind.DETECT, "cat"].region_ids == [ids[2]]
    assert after.counts[0].count == 7
    assert after.counts[0].region_ids == []
    assert after.answers[0].answer == "a cat"
    assert all(is_locked(label) for label in (after.counts[0].label, after.answers[0].label))
    assert not list(row_problems(after))


def test_the_last_word_holds_and_ground_truth_is_the_last(row):
    name = row.regions[0].region_id

    def said(text, at, **more):
        fields = {"region_id": name, "kind": "brief_caption", "after": {"text": text}, "at": at, **more}
        return correct(row, "recaptioned", **fields)

    early, late = said("early", "2026-01-01T00:00:00Z"), said("late", "2026-01-02T00:00:00+02:00")
    truth = said("truth", "2025-01-01T00:00:00Z", ground_truth=True)
    assert apply_corrections(row, [late, early]).row.regions[0].brief_caption == "late"
    assert apply_corrections(row, [truth, late, early]).row.regions[0].brief_caption == "truth"


def test_an_annotation_submitted_again_replaces_what_it_said_before(row):
    name = row.regions[0].region_id
    hasty = correct(row, "deleted", region_id=name, annotation_key="7")
    again = correct(
        row, "verdict", region_id=name, kind="brief_caption", right=True, annotation_key="7",
        at="2026-11-24T11:00:00Z",
    )  # fmt: skip
    after = apply_corrections(row, [hasty, again]).row
    assert after.regions[0].region_id == name
    assert is_locked(after.regions[0].labels[0])


def detected(row, phrase, places, decision=Decision.REVIEW, kind=LabelKind.DETECT):
    ids = [row.regions[place].region_id for place in places]
    label = make_label(kind, phrase, decision, confidence=0.4)
    return Grounding(phrase=phrase, kind=kind, region_ids=ids, label=label)


def test_a_renamed_region_makes_no_person_of_who_named_the_others(row):
    row.groundings = [detected(row, "cat", [0, 1]), detected(row, "dog", [2]), detected(row, "cow", [])]
    names = [region.region_id for region in row.regions]
    change = correct(row, "renamed", region_id=names[1], before={"text": "cat"}, after={"text": "dog"})
    after = {part.phrase: part for part in apply_corrections(row, [change]).row.groundings}
    assert (after["cat"].region_ids, after["dog"].region_ids) == (names[:1], [names[2], names[1]])
    for phrase in ("cat", "dog"):
        assert (after[phrase].label.source, after[phrase].label.decision) == (Source.MODEL, Decision.REVIEW)
    again = [correct(row, "renamed", region_id=name, after={"text": "cow"}) for name in names[:2]]
    after = {part.phrase: part for part in apply_corrections(row, [change, *again]).row.groundings}
    assert after["cow"].region_ids == names[:2]
    assert is_locked(after["cow"].label)


def test_the_images_caption_is_the_persons_who_wrote_or_confirmed_it(row):
    row.caption = "a red square lies here"
    row.groundings = [detected(row, "a red square", [0], kind=LabelKind.GROUNDED_CAPTION)]
    about = {"kind": "grounded_caption", "before": {"text": row.caption}}
    assert accepted_part(row).caption is None
    for change in (
        correct(row, "recaptioned", **about, after={"text": "a red square and a whale"}),
        correct(row, "verdict", **about, right=True),
    ):
        after = apply_corrections(row, [change]).row
        label = after.caption_label
        assert (label.text, label.annotator, label.decision) == (after.caption, "ada", Decision.ACCEPT)
        assert any(AT[:19] in reason for reason in label.reasons)
        assert after.meta == row.meta
        assert label.annotated_at == change.at
        assert accepted_part(after).caption == after.caption
        assert not list(row_problems(after))
    wrong = apply_corrections(row, [correct(row, "verdict", **about, right=False)]).row
    assert (wrong.caption, wrong.caption_label, wrong.meta) == (None, None, row.meta)
    assert wrong.groundings == []


def test_a_models_caption_is_accepted_with_its_phrases_alone(row):
    row.caption = "something red"
    row.groundings = []
    assert accepted_part(row, model_captions=True).caption is None
    assert accepted_part(row).caption == row.caption
    row.groundings = [detected(row, "red", [0], Decision.ACCEPT, LabelKind.GROUNDED_CAPTION)]
    row.groundings[0].label.confidence = 0.9
    assert accepted_part(row, model_captions=True).caption == row.caption


def test_a_box_outside_of_the_image_is_left_out(row):
    far = correct(row, "moved", region_id=row.regions[0].region_id, after={"box_xyxy": (900, 900, 990, 990)})
    applied = apply_corrections(row, [far])
    assert applied.left_out == [far]
    assert differing_columns(applied.row, row) == []


BOXES = [(0.0, 0.0, 5.0, 6.0), (3.5, 7.0, 12.5, 13.0), (20.0, 20.0, 40.0, 44.0)]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_corrections_leave_a_sound_row_whatever_their_order(data):
    boxes = data.draw(st.lists(st.sampled_from(BOXES), min_size=3, max_size=3))
    row = make_row(3, boxes=boxes)
    row = row.model_copy(update={"counts": [make_count(row.regions)]})
    changes = data.draw(st.lists(corrections_of(row), max_size=8))
    shuffled = data.draw(st.permutations(changes))
    after = apply_corrections(row, changes).row
    assert apply_corrections(row, [*shuffled, *changes]).row == after
    assert not list(row_problems(after))
    assert list(table_to_rows(rows_to_table([after]))) == [after]


def test_regions_that_are_moved_onto_one_another_stay_two(row):
    first, second, third = row.regions
    moved = correct(row, "moved", region_id=first.region_id, after={"box_xyxy": second.box_xyxy})
    name = correct(
        row, "recaptioned", region_id=first.region_id, kind="brief_caption", after={"text": "a whale"}
    )
    gone = correct(row, "deleted", region_id=second.region_id)
    after = apply_corrections(row, [moved, name])
    assert after.left_out == []
    assert [region.region_id for region in after.row.regions] == [
        f"{second.region_id}/2", second.region_id, third.region_id,
    ]  # fmt: skip
    assert [region.brief_caption for region in after.row.regions] == [
        "a whale", second.brief_caption, third.brief_caption,
    ]  # fmt: skip
    again = apply_corrections(row, [moved, name, gone]).row
    assert [region.region_id for region in again.regions] == [f"{second.region_id}/2", third.region_id]


def test_regions_that_change_places_keep_their_texts(row):
    first, second, _ = row.regions
    moves = [
        correct(row, "moved", region_id=first.region_id, after={"box_xyxy": second.box_xyxy}),
        correct(row, "moved", region_id=second.region_id, after={"box_xyxy": first.box_xyxy}),
    ]
    after = apply_corrections(row, moves).row
    assert [(region.box_xyxy, region.brief_caption) for region in after.regions[:2]] == [
        (second.box_xyxy, first.brief_caption), (first.box_xyxy, second.brief_caption),
    ]  # fmt: skip
    assert len({region.region_id for region in after.regions}) == 3
    assert not list(row_problems(after))
