"""No edit of a truthful reviewer takes a wrong label out of the count of the audit."""

from dataclasses import dataclass

import hypothesis.strategies as st
from hypothesis import given, settings
from made_up_labels import made_row

from fo1_data.judging.review_verdicts import judge_reviewed
from schemas.corrections import Correction
from schemas.images import ImageRow
from schemas.labels import Decision, LabelKind
from schemas.regions import Box, make_region_id

AT, LATER = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
CAPTION = LabelKind.BRIEF_CAPTION


def audited_row(number: int = 0, num_regions: int = 4) -> ImageRow:
    row = made_row(number, num_regions=num_regions)
    for label in row.all_labels():
        label.decision = Decision.AUDIT
    return row


def say(row: ImageRow, action: str, **fields: object) -> Correction:
    values = {"image_id": row.image_id, "action": action, "at": AT, "lane": "audit", "annotation_key": "a"}
    return Correction.model_validate(values | fields)


def shifted(box: Box, by: float) -> Box:
    return (box[0] + by, box[1], box[2] + by, box[3])


def test_a_wrong_caption_counts_also_if_its_box_is_moved_by_a_pixel() -> None:
    row = audited_row()
    wrong, kept = row.regions[0], row.regions[1]
    corrections = []
    for region in (wrong, kept):
        after = shifted(region.box_xyxy, 1)
        new_id = make_region_id(row.image_id, after)
        corrections.append(say(row, "moved", region_id=region.region_id, after={"box_xyxy": after}))
        if region is wrong:
            text = {"text": "something else"}
            corrections.append(say(row, "recaptioned", region_id=new_id, kind="brief_caption", after=text))
        else:
            corrections.append(say(row, "verdict", region_id=new_id, kind="brief_caption", right=True))
    found = judge_reviewed([row], corrections)
    assert [judged.right for judged in found[:2]] == [False, True]
    # Two captions and the phrase were drawn and have no verdict: they count as wrong.
    assert [judged.evidence for judged in found] == [False, True, False, False, False]
    assert [judged.missed for judged in found] == [False, False, True, True, True]


def test_a_drawn_label_counts_as_wrong_until_somebody_opens_its_image() -> None:
    reviewed, waiting = audited_row(1), audited_row(2)
    never_drawn = made_row(3)
    right = [
        say(reviewed, "verdict", region_id=region.region_id, kind="brief_caption", right=True)
        for region in reviewed.regions
    ]
    found = judge_reviewed([reviewed, waiting, never_drawn], right)
    of_waiting = [judged for judged in found if judged.part.row is waiting]
    assert of_waiting
    assert all(judged.missed and judged.certifies and judged.evidence is False for judged in of_waiting)
    assert not any(judged.part.row is never_drawn for judged in found)


def test_a_phrase_that_names_a_deleted_or_displaced_region_was_wrong() -> None:
    row = audited_row(4)
    region = row.regions[0]
    row.groundings[0].region_ids = [region.region_id]
    phrase = say(row, "verdict", kind="ground", subject="first thing", right=True)
    assert judge_reviewed([row], [phrase])[-1].right is True
    deleted = say(row, "deleted", region_id=region.region_id)
    far = say(row, "moved", region_id=region.region_id, after={"box_xyxy": shifted(region.box_xyxy, 60)})
    near = say(row, "moved", region_id=region.region_id, after={"box_xyxy": shifted(region.box_xyxy, 1)})
    for change, right in ((deleted, False), (far, False), (near, True)):
        assert judge_reviewed([row], [phrase, change])[-1].right is right


def test_a_phrase_over_moved_boxes_is_the_same_phrase() -> None:
    row = audited_row(5)
    ids = [region.region_id for region in row.regions]
    row.groundings[0].region_ids = ids[:1]
    after = shifted(row.regions[0].box_xyxy, 1)
    moved = say(row, "moved", region_id=ids[0], after={"box_xyxy": after})
    new_id = make_region_id(row.image_id, after)
    for named, right in (([new_id], True), ([new_id, ids[1]], False)):
        regrounded = say(row, "regrounded", subject="first thing", after={"region_ids": named})
        assert judge_reviewed([row], [moved, regrounded])[-1].right is right


def test_a_renamed_region_was_wrong_under_its_old_class() -> None:
    row = audited_row(6)
    row.groundings[0].kind = row.groundings[0].label.kind = LabelKind.DETECT
    row.groundings[0].region_ids = [row.regions[0].region_id]
    renamed = say(
        row,
        "renamed",
        region_id=row.regions[0].region_id,
        before={"text": "First thing"},
        after={"text": "other thing"},
    )
    assert judge_reviewed([row], [renamed])[-1].right is False


def test_the_phrases_of_a_caption_fall_with_it() -> None:
    row = audited_row(7)
    row.groundings[0].kind = row.groundings[0].label.kind = LabelKind.GROUNDED_CAPTION
    about = {"kind": "grounded_caption"}
    wrong = say(row, "verdict", right=False, **about)
    other = say(row, "recaptioned", after={"text": "nothing of it"}, **about)
    same = say(row, "recaptioned", after={"text": "now the First thing too"}, **about)
    found = [judge_reviewed([row], [change])[-1] for change in (wrong, other, same)]
    assert [judged.right for judged in found] == [False, False, None]


def test_a_submission_that_was_sent_again_replaces_the_first() -> None:
    row = audited_row(8)
    region_id = row.regions[0].region_id
    deleted = say(row, "deleted", region_id=region_id)
    again = say(row, "verdict", region_id=region_id, kind="brief_caption", right=True, at=LATER)
    assert judge_reviewed([row], [deleted, again])[0].right is True
    assert judge_reviewed([row], [deleted])[0].right is False


@dataclass(frozen=True)
class Edit:
    """What a truthful reviewer does with a region: `how` depends on what is true of it."""

    truth: str  # "right", "wrong" (the caption), "spurious" (no object is there)
    how: str
    by_px: float
    with_new_id: bool


HOW = {
    "right": ("keep", "move", "split", "skip"),
    "wrong": ("recaption", "move and recaption", "call wrong", "delete", "skip", "delete and draw again"),
    "spurious": ("delete", "move far", "skip", "call wrong"),
}
EDITS = st.sampled_from(sorted(HOW)).flatmap(
    lambda truth: st.builds(
        Edit,
        truth=st.just(truth),
        how=st.sampled_from(HOW[truth]),
        by_px=st.floats(0.1, 2.0),
        with_new_id=st.booleans(),
    )
)


def corrections_of(row: ImageRow, index: int, edit: Edit) -> list[Correction]:
    region = row.regions[index]
    name, box = region.region_id, region.box_xyxy
    after = shifted(box, 50.0 + 10 * index if edit.how == "move far" else edit.by_px)
    new_id = make_region_id(row.image_id, after) if edit.with_new_id else name
    moved = say(row, "moved", region_id=name, after={"box_xyxy": after})
    deleted = say(row, "deleted", region_id=name)
    drawn = say(row, "added", after={"box_xyxy": after})

    def caption(action: str, region_id: str, **fields: object) -> Correction:
        return say(row, action, region_id=region_id, kind="brief_caption", **fields)

    other = {"after": {"text": "what it really is"}}
    half = (box[0], box[1], (box[0] + box[2]) / 2, box[3])
    return {
        "keep": [caption("verdict", name, right=True)],
        "move": [moved, caption("verdict", new_id, right=True)],
        "split": [caption("verdict", name, right=True), say(row, "added", after={"box_xyxy": half})],
        "skip": [],
        "recaption": [caption("recaptioned", name, **other)],
        "move and recaption": [moved, caption("recaptioned", new_id, **other)],
        "call wrong": [caption("verdict", name, right=False)],
        "delete": [deleted],
        "delete and draw again": [deleted, drawn, caption("recaptioned", new_id, **other)],
        "move far": [moved, caption("verdict", new_id, right=True)],
    }[edit.how]


@settings(deadline=None, max_examples=150)
@given(st.lists(EDITS, min_size=1, max_size=5), st.randoms(use_true_random=False), st.booleans())
def test_no_sequence_of_truthful_edits_hides_a_wrong_label(
    edits: list[Edit], random: object, ground_truth: bool
) -> None:
    row = audited_row(9, num_regions=len(edits))
    corrections = [
        correction.model_copy(update={"ground_truth": ground_truth})
        for index, edit in enumerate(edits)
        for correction in corrections_of(row, index, edit)
    ]
    random.shuffle(corrections)  # type: ignore[attr-defined]
    judged = judge_reviewed([row], corrections)[: len(edits)]
    for verdict, edit in zip(judged, edits, strict=True):
        assert verdict.certifies
        assert verdict.evidence is not None
        if edit.truth != "right":
            assert verdict.evidence is False
        elif edit.how != "skip":
            assert verdict.evidence is True
